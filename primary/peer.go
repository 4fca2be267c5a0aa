package primary

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"
	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A peer is one connection, from being accepted to being closed.
type peer struct {
	p     *Primary
	conn  net.Conn
	log   hclog.Logger
	since time.Time

	source string // see sourceOf

	progress *progress
	txns     atomic.Int64 // sent
	bytes    atomic.Int64 // sent on the replication stream
	heard    atomic.Int64 // Unix nanoseconds of the last message

	mu      sync.Mutex
	state   State // StateHandshake, StateRefused, or StateLive for all that follow
	name    string
	problem string // its own, from its last acknowledgement
}

func newPeer(p *Primary, conn net.Conn) *peer {
	return &peer{
		p: p, conn: conn, log: p.log.With("addr", conn.RemoteAddr().String()), since: p.opt.Now(),
		source: sourceOf(conn.RemoteAddr()), progress: newProgress(), state: StateHandshake,
	}
}

// serve runs the connection to its end.
func (c *peer) serve(ctx context.Context) {
	err := c.handle(ctx)
	closeQuietly(c.conn)
	c.leave(err)
}

func (c *peer) handle(ctx context.Context) error {
	if err := c.preface(ctx); err != nil {
		return err
	}
	s, err := protocol.ServerSession(c.conn, protocol.SessionOptions{
		WriteTimeout: c.p.opt.WriteTimeout, KeepAlive: c.p.opt.KeepAlive, Logger: c.log,
	})
	if err != nil {
		return err
	}
	defer closeQuietly(s)
	f, it, err := c.handshake(ctx, s)
	if err != nil {
		return err
	}
	defer closeQuietly(it) // read only
	c.streaming()
	c.progress.begin(f.start, it.Position(), c.p.opt.Now())
	return c.stream(ctx, f, it)
}

// stream runs the goroutines of an accepted secondary until one of them ends. When ctx ends and the connection
// is stuck, it is cut after a while.
func (c *peer) stream(ctx context.Context, f *follower, it zodb.Iterator) error {
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error { return c.send(inner, f, it) })
	g.Go(func() error { return c.receive(inner, f.control) })
	g.Go(func() error { return c.beat(inner, f.control) })
	g.Go(func() error { return c.count(inner) })
	g.Go(func() error { return c.part(inner, f) })
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	select {
	case err := <-done:
		if said(err) {
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

// part waits for the end, says goodbye where the secondary should know the reason, and wakes a sender that waits for
// the secondary to read.
func (c *peer) part(inner context.Context, f *follower) error {
	<-inner.Done()
	if cause := context.Cause(inner); said(cause) {
		if err := f.control.Send(&protocol.Goodbye{Reason: cause.Error()}); err != nil {
			c.log.Debug("saying goodbye failed", "error", err)
		}
	}
	closeQuietly(f.repl)
	return nil
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

// leave takes the peer off the roster and logs why it went.
func (c *peer) leave(err error) {
	now := c.p.opt.Now()
	last := c.status(c.p.src.LastTid(), c.p.src.Size(), now)
	streamed := last.State != StateHandshake && last.State != StateRefused
	last.State, last.GoneSince = StateGone, now
	if err != nil && !errors.Is(err, errDrained) && !errors.Is(err, errGoodbye) {
		last.LastError = err.Error()
	}
	c.logEnd(err, streamed, last.DurableTid)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.roster.leave(c, last, streamed)
}

// logEnd says why a peer is gone. That it was refused has been said already.
func (c *peer) logEnd(err error, streamed bool, durable zodb.Tid) {
	var refusal *protocol.Refusal
	switch {
	case errors.Is(err, errDrained), errors.Is(err, errGoodbye):
		c.log.Info("a secondary is gone", "durable", durable, "reason", err)
	case err == nil, errors.As(err, &refusal):
	case streamed:
		c.log.Warn("lost a secondary", "durable", durable, "error", err)
	default:
		c.p.hush.warn(c.log, c.source, err.Error(), "a connection ended before it was accepted", "error", err)
	}
}

// unaccepted reports whether the peer has still to get through its handshake, or to hear that it does not.
func (c *peer) unaccepted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == StateHandshake || c.state == StateRefused
}

// setState changes what status starts from.
func (c *peer) setState(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

// streaming notes that the secondary was accepted. What is remembered of an earlier connection of it is out of date.
func (c *peer) streaming() {
	c.setState(StateLive)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.roster.forget(c.name)
}

// status compares with the source's last tid and size.
func (c *peer) status(last zodb.Tid, size int64, now time.Time) SecondaryStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := SecondaryStatus{
		Name: c.name, Addr: c.conn.RemoteAddr().String(), State: c.state, ConnectedSince: c.since,
		Lag:          c.progress.lag(last, size, now),
		Transactions: c.txns.Load(), Bytes: c.bytes.Load(), LastError: c.problem,
	}
	if heard := c.heard.Load(); heard != 0 {
		s.LastHeard = time.Unix(0, heard)
	}
	s.AppliedTid, s.DurableTid, s.SentTid = c.progress.tids()
	if c.state == StateLive {
		s.State = c.progress.state(s.Lag, c.problem != "", c.p.opt.StallAfter, now)
	}
	return s
}
