package primary

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// preface agrees on the protocol.
func (c *peer) preface(ctx context.Context) error {
	ctx, cancel := c.p.handshaking(ctx)
	defer cancel()
	proto, err := protocol.ServerPreface(ctx, c.conn)
	switch {
	case errors.Is(err, protocol.ErrEncrypted):
		r := refuse(protocol.CodeNotAuthorised, 0, "%v", err)
		c.refused(r)
		refusePreface(ctx, c.conn, r) // which TLS takes for what it is: no TLS
		return r
	case err != nil:
		return fmt.Errorf("handshake: %w", err)
	case proto == protocol.Native:
		return protocol.AcceptPreface(ctx, c.conn)
	}
	if r := c.p.barred(proto); r != nil {
		c.refused(r) // in the log only: whatever the peer were told, it would take for something else
		return r
	}
	r := refuse(protocol.CodeProtocol, 0, "protocol %q is not supported here, only %s; %s",
		clean(proto), protocol.Native, sameVersion)
	c.refused(r)
	if !strings.HasPrefix(proto, "zrs2.") { // a zc.zrs secondary would take any answer for a transaction
		refusePreface(ctx, c.conn, r)
	}
	return r
}

// A follower is a secondary that was accepted: its streams, and where it stands.
type follower struct {
	session *yamux.Session
	control *protocol.Control
	repl    net.Conn
	start   zodb.Tid
}

// handshake takes the secondary's hello, judges it, and welcomes it. Waiting for the peer is bounded, judging is not:
// it may have to read a long transaction. The caller closes the iterator, which begins where the secondary ends.
func (c *peer) handshake(ctx context.Context, s *yamux.Session) (*follower, zodb.Iterator, error) {
	control, hello, err := c.hello(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	if r := c.p.judge(ctx, hello); r != nil {
		return nil, nil, c.refuse(s, control, r)
	}
	it, err := c.p.src.Iterate(hello.Last.Tid, true)
	if err != nil {
		err = c.p.sourceFailed(err)
		return nil, nil, c.refuse(s, control, refuse(protocol.CodeInternal, hello.Last.Tid, "%v", err))
	}
	f := &follower{session: s, control: control, start: hello.Last.Tid}
	welcome := c.p.greeting()
	done, r := c.share(hello, welcome)
	if r != nil {
		closeQuietly(it) // read only
		return nil, nil, c.refuse(s, control, r)
	}
	defer done()
	if err := c.welcome(ctx, f, welcome); err != nil {
		closeQuietly(it) // read only
		return nil, nil, err
	}
	if shares(welcome) {
		it = sharing{it}
	}
	return f, it, nil
}

// welcome accepts the secondary and waits for the stream on which it wants its transactions.
func (c *peer) welcome(ctx context.Context, f *follower, w *protocol.Welcome) error {
	ctx, cancel := c.p.handshaking(ctx)
	defer cancel()
	if err := f.control.Send(w); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	repl, header, err := protocol.AcceptStream(ctx, f.session)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if header.Kind != protocol.StreamReplication || header.Start != f.start {
		r := refuse(protocol.CodeUnknownMessage, header.Start, "after the welcome comes a %s stream from %v, not %q "+
			"from %v; %s", protocol.StreamReplication, f.start, clean(string(header.Kind)), header.Start, sameVersion)
		return c.refuse(f.session, f.control, r)
	}
	f.repl = repl
	return nil
}

// handshaking bounds a wait for the peer. It also ends when the primary begins to drain.
func (p *Primary) handshaking(ctx context.Context) (context.Context, context.CancelFunc) {
	d := p.opt.HandshakeTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("the peer took longer than %v", d))
	ctx, abort := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.draining, func() { abort(errShutdown) })
	return ctx, func() {
		stop()
		abort(nil)
		cancel()
	}
}

// hello waits for the control stream and the first message on it.
func (c *peer) hello(ctx context.Context, s *yamux.Session) (*protocol.Control, *protocol.Hello, error) {
	ctx, cancel := c.p.handshaking(ctx)
	defer cancel()
	conn, header, err := protocol.AcceptStream(ctx, s)
	if err != nil {
		return nil, nil, fmt.Errorf("handshake: %w", err)
	}
	if header.Kind != protocol.StreamControl {
		return nil, nil, fmt.Errorf("handshake: the first stream is %q, not %q", clean(string(header.Kind)),
			protocol.StreamControl)
	}
	control := protocol.NewControl(conn)
	msg, err := control.Receive(ctx)
	if err == nil {
		msg, err = c.p.authenticate(ctx, control, msg)
	}
	hello, ok := msg.(*protocol.Hello)
	var r *protocol.Refusal
	switch {
	case errors.As(err, &r):
		return nil, nil, c.refuse(s, control, r)
	case errors.Is(err, protocol.ErrUnknownMessage), err == nil && !ok:
		r := refuse(protocol.CodeUnknownMessage, 0, "the first message must be a hello; %s", sameVersion)
		return nil, nil, c.refuse(s, control, r)
	case err != nil:
		return nil, nil, fmt.Errorf("handshake: %w", err)
	}
	c.introduce(hello.Name)
	return control, hello, nil
}

// introduce takes the name by which the secondary is known from now on.
func (c *peer) introduce(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.name = clean(name)
	c.log = c.log.With("secondary", c.name)
	c.heard.Store(c.p.opt.Now().UnixNano())
}

// refuse sends r, waits until the secondary has hung up, and returns r.
func (c *peer) refuse(s *yamux.Session, control *protocol.Control, r *protocol.Refusal) error {
	c.refused(r)
	if err := control.Send(r); err != nil {
		return errors.Join(r, err)
	}
	linger(s)
	return r
}

func (c *peer) refused(r *protocol.Refusal) {
	c.setState(StateRefused)
	c.p.refused(c.conn.RemoteAddr(), c.name, r)
}

func (p *Primary) greeting() *protocol.Welcome {
	id, epochs := p.opt.Identity()
	return &protocol.Welcome{
		Version: protocol.MessageVersion, StorageID: id, Epochs: epochs, LastTid: p.src.LastTid(), Size: p.src.Size(),
		Magic: p.src.Magic(), Blobs: p.src.HasBlobs(), Heartbeat: p.opt.Heartbeat, Name: p.opt.Name,
	}
}
