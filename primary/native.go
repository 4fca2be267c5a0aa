package primary

import (
	"context"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A native peer speaks our own protocol.
type native struct{ *peer }

func (c *native) replicate(ctx context.Context) error {
	if err := c.accept(ctx); err != nil {
		return err
	}
	s, err := protocol.ServerSession(c.conn, protocol.SessionOptions{
		WriteTimeout: c.p.opt.WriteTimeout, KeepAlive: c.p.opt.KeepAlive, Guard: c.guard,
	})
	if err != nil {
		return err
	}
	defer closeQuietly(s)
	f, it, err := c.handshake(ctx, s)
	if err != nil {
		return err
	}
	c.guard.Open()
	if f.seed != nil {
		defer c.endSeed(f.seed)
	} else {
		defer closeQuietly(it) // read only
	}
	c.streaming(f)
	node := c.countsAs()
	c.p.quorum.begin(node, c.name, c.p.counted(f.start))
	defer c.p.quorum.end(node)
	if f.seed != nil {
		c.progress.begin(f.start, f.seed.done.from, c.p.opt.now())
		return c.seeding(ctx, f)
	}
	c.progress.begin(f.start, it.Position(), c.p.opt.now())
	return c.stream(ctx, f, it)
}

// stream runs an accepted secondary that gets its transactions one by one.
func (c *native) stream(ctx context.Context, f *follower, it zodb.Iterator) error {
	g, inner := errgroup.WithContext(ctx)
	g.Go(c.recovering(func() error { return c.deliver(inner, f, it) }))
	g.Go(c.recovering(func() error { return c.count(inner) }))
	return c.attend(ctx, inner, g, f)
}

// attend adds to the goroutines of an accepted secondary those that every one has, and waits until one of them ends.
// When ctx ends and the connection is stuck, it is cut after a while.
func (c *native) attend(ctx, inner context.Context, g *errgroup.Group, f *follower) error {
	g.Go(c.recovering(func() error { return c.receive(inner, f.control) }))
	g.Go(c.recovering(func() error { return c.sendHeartbeats(inner, f.control) }))
	g.Go(c.recovering(func() error { return c.part(inner, f) }))
	g.Go(c.recovering(func() error { return waitForRenewal(inner, f.renewed) }))
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	select {
	case err := <-done:
		if isGoodbye(err) {
			linger(f.session)
		}
		return err
	case <-ctx.Done():
	}
	limit := time.AfterFunc(lingerLimit, func() { closeQuietly(f.session) })
	defer limit.Stop()
	err := <-done
	linger(f.session)
	return err
}

func (c *native) deliver(ctx context.Context, f *follower, it zodb.Iterator) error {
	wire := &countingWriter{w: f.repl, n: &c.bytes}
	return c.send(ctx, &sender{c: c.peer, it: it, enc: protocol.NewEncoder(wire, f.start), wire: wire,
		over: f.renewed})
}

// part waits for the end, says goodbye where the secondary should know the reason, and wakes a sender that waits for
// the secondary to read.
func (c *native) part(inner context.Context, f *follower) error {
	<-inner.Done()
	if cause := context.Cause(inner); isGoodbye(cause) {
		if err := f.control.Send(&protocol.Goodbye{Reason: cause.Error()}); err != nil {
			c.log.Debug("sending goodbye failed", "error", err)
		}
	}
	if f.repl != nil {
		closeQuietly(f.repl)
	}
	return nil
}

// waitForRenewal returns when the node is not any more what it said in the welcome.
func waitForRenewal(ctx context.Context, renewed <-chan struct{}) error {
	select {
	case <-renewed:
		return errRenewed
	case <-ctx.Done():
		return nil
	}
}

// linger gives the peer time to read our last words and to close.
func linger(s *yamux.Session) {
	t := time.NewTimer(lingerLimit)
	defer t.Stop()
	select {
	case <-s.CloseChan():
	case <-t.C:
	}
}
