package primary

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/zrsd/zrsd/protocol"
)

const (
	acceptPause = 100 * time.Millisecond // after accepting failed, as for want of file descriptors
	lingerLimit = 5 * time.Second        // for a peer to read our last words and close
	maxTurned   = 16                     // connections above a limit that are being told so
)

// acceptAll hands every connection to a goroutine in conns, until l is closed.
func (p *Primary) acceptAll(ctx context.Context, l net.Listener, conns *sync.WaitGroup) error {
	turned := make(chan struct{}, maxTurned)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			p.log.Warn("accepting a connection failed, trying again", "listener", l.Addr().String(), "error", err)
			if !pause(ctx, acceptPause) {
				return context.Cause(ctx)
			}
			continue
		}
		c, refusal := p.admit(conn)
		if c != nil {
			conns.Go(func() { c.serve(ctx) })
			continue
		}
		p.refused(conn.RemoteAddr(), "", refusal)
		select {
		case turned <- struct{}{}:
			conns.Go(func() {
				defer func() { <-turned }()
				p.turnAway(ctx, conn, refusal)
			})
		default:
			closeQuietly(conn)
		}
	}
}

// admit returns a refusal when a limit on connections is reached.
func (p *Primary) admit(conn net.Conn) (*peer, *protocol.Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := newPeer(p, conn)
	switch {
	case p.roster.connected() >= p.opt.MaxSecondaries:
		return nil, refuse(protocol.CodeTooMany, 0, "this primary serves at most %d secondaries; disconnect one, or "+
			"raise the primary's limit", p.opt.MaxSecondaries)
	case p.roster.unaccepted(c.source) >= p.opt.MaxPerAddress:
		return nil, refuse(protocol.CodeTooMany, 0, "%d connections from this address have not got through their "+
			"handshake yet, more are not let in; find out who they are, or raise the primary's limit per address",
			p.opt.MaxPerAddress)
	}
	p.roster.enter(c)
	return c, nil
}

// turnAway tells a client why it is not let in.
func (p *Primary) turnAway(ctx context.Context, conn net.Conn, r *protocol.Refusal) {
	defer closeQuietly(conn)
	ctx, cancel := context.WithTimeout(ctx, lingerLimit)
	defer cancel()
	if _, err := protocol.ServerPreface(ctx, conn); err != nil {
		return
	}
	refusePreface(ctx, conn, r)
}

// refusePreface sends r and waits until the client has closed: a close with something unread would destroy r on its
// way.
func refusePreface(ctx context.Context, conn net.Conn, r *protocol.Refusal) {
	ctx, cancel := context.WithTimeout(ctx, lingerLimit)
	defer cancel()
	if protocol.RefusePreface(ctx, conn, r) != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer stop()
	_, _ = io.CopyN(io.Discard, conn, 1) // returns when the client closes, says more, or ctx ends: the same to us
}

func closeQuietly(c io.Closer) {
	_ = c.Close() // the connection is given up; there is nobody to tell
}

// pause waits for d and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
