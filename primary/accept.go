package primary

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/door"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/protocol"
)

const (
	acceptPause = 100 * time.Millisecond // after accepting failed, as for want of file descriptors
	lingerLimit = 5 * time.Second        // for a peer to read our last words and close
)

// acceptAll hands every connection to a goroutine in conns, until l is closed.
func (p *Primary) acceptAll(ctx context.Context, l net.Listener, conns *sync.WaitGroup) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			p.hush.Warn(p.log, "", door.Kind(err), "accepting a connection failed, retrying", "listener",
				l.Addr().String(), "error", err)
			if !pause.For(ctx, acceptPause) {
				return context.Cause(ctx)
			}
			continue
		}
		c := newPeer(p, conn)
		p.enter(c)
		conns.Go(func() { c.serve(ctx) })
	}
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
