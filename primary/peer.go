package primary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/internal/admission"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A peer is one connection, from being accepted to being closed.
type peer struct {
	p     *Primary
	conn  net.Conn
	log   hclog.Logger
	since time.Time

	source  string          // see admission.Source
	pending *admission.Conn // while it is unproven
	slot    slot            // of Primary.mu
	asks    bool            // of Primary.mu: it only asks something, and is no secondary
	named   bool            // of Primary.mu: the name is this one's, see namesake
	guard   *protocol.Guard
	until   time.Time // when it must have proved who it is

	progress *progress
	txns     atomic.Int64 // sent
	bytes    atomic.Int64 // sent on the replication stream
	heard    atomic.Int64 // Unix nanoseconds of the last message

	mu              sync.Mutex
	state           State // StateHandshake, StateRefused, or StateLive for all that follow
	name            string
	protocol        string    // as it names it; empty before the first message
	problem         string    // its own, from its last acknowledgement
	problemKind     string    // see protocol.Ack
	replaced        *Replaced // the node that was in its place; nil: it is none other, or not known
	start           zodb.Tid  // after which its stream began; 0: it had nothing
	evicted         error     // it was closed for another connection; nil: no
	node            string    // its id; empty: of an older version, or none yet
	once            bool      // it makes a copy and ends
	delayed         bool      // its readers see what it has later
	replicationAddr string    // where others can connect to it

	control       *protocol.Control // once it is accepted, of a native peer
	seed          *seedProgress     // nil: it gets its transactions one by one
	handoverReady chan *protocol.HandoverReady
	over          chan struct{} // closed when the connection has ended
}

func newPeer(p *Primary, conn net.Conn) *peer {
	c := &peer{
		p: p, conn: conn, log: p.log.With("addr", conn.RemoteAddr().String()), since: p.opt.now(),
		source: admission.Source(conn.RemoteAddr()), slot: slotUnproven, guard: protocol.NewGuard(unauthenticatedBytes),
		until: time.Now().Add(p.opt.HandshakeTimeout), progress: newProgress(), state: StateHandshake,
		handoverReady: make(chan *protocol.HandoverReady, 1), over: make(chan struct{}),
	}
	c.pending = p.newConn(c)
	return c
}

// serve runs the connection to its end.
func (c *peer) serve(ctx context.Context) {
	err := c.ended(c.recovering(func() error { return c.handle(ctx) })())
	closeQuietly(c.conn)
	c.pending.Leave()
	close(c.over)
	c.leave(err)
}

// recovering makes f end with an error where it panics, which costs this connection: nothing of the storage is changed
// for a secondary.
func (c *peer) recovering(f func() error) func() error {
	return func() error { return recovered.Do(c.log, "serving a secondary", f) }
}

func (c *peer) handle(ctx context.Context) error {
	d, err := c.preface(ctx)
	if err != nil {
		return err
	}
	return d.replicate(ctx)
}

// leave takes the peer off the roster.
func (c *peer) leave(err error) {
	now := c.p.opt.now()
	last := c.status(c.p.src.LastTid(), c.p.src.Size(), now)
	streamed := last.State != StateHandshake && last.State != StateRefused
	c.mu.Lock()
	missed := streamed && !c.once
	c.mu.Unlock()
	last.State, last.GoneSince = StateDisconnected, now
	if err != nil && !errors.Is(err, errDrained) && !errors.Is(err, errGoodbye) {
		last.LastError = err.Error()
	}
	c.logEnd(err, streamed, &last)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.roster.leave(c, last, missed)
}

// logEnd logs why a connection has ended. A refusal has been logged already.
func (c *peer) logEnd(err error, streamed bool, last *SecondaryStatus) {
	log := c.log.With("sent", last.SentTid)
	if !last.Silent {
		log = log.With("durable", last.DurableTid)
	}
	var refusal *protocol.Refusal
	switch {
	case errors.Is(err, errDrained), errors.Is(err, errGoodbye), errors.Is(err, errRenewed):
		log.Info("a secondary disconnected", "reason", err)
	case err == nil, errors.As(err, &refusal):
	case errors.Is(err, errConfirm), errors.Is(err, errAnswered), errors.Is(err, errCompared):
		c.log.Debug("a status connection ended", "reason", err)
	case streamed:
		c.p.loud.Log(log, hclog.Info, c.source+" "+c.name, admission.Kind(err),
			"lost the connection to a secondary", "error", err)
	case errors.Is(err, io.EOF), errors.Is(err, yamux.ErrSessionShutdown), // the other side has changed its mind
		errors.Is(err, protocol.ErrHTTP): // commands ask so what listens here, and were told
		c.log.Debug("a connection ended before it was accepted", "error", err)
	default:
		c.p.logLimit.Log(c.log, hclog.Info, c.source, admission.Kind(err),
			"a connection ended before it was accepted", "error",
			err)
	}
}

// setState changes what status starts from.
func (c *peer) setState(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

// streaming notes that the secondary was accepted. What is remembered of an earlier connection of it is out of date.
func (c *peer) streaming(f *follower) {
	c.mu.Lock()
	c.state, c.control, c.start = StateLive, f.control, f.start
	if f.seed != nil {
		c.seed = &f.seed.done
	}
	c.mu.Unlock()
	last := c.p.src.LastTid()
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.roster.totals.CatchUps.count(f.seed != nil, f.start, last)
	if before := c.p.roster.lastOf(c.name); before != nil {
		c.compareBefore(before)
	} else {
		c.keepReplaced()
	}
	c.p.roster.forget(c.name)
}

// status compares with the source's last tid and size.
func (c *peer) status(last zodb.Tid, size int64, now time.Time) SecondaryStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := SecondaryStatus{
		Name: c.name, Addr: c.conn.RemoteAddr().String(), State: c.state, ConnectedSince: c.since,
		Lag:          c.progress.lag(last, size, now),
		Transactions: c.txns.Load(), Bytes: c.bytes.Load(), LastError: c.problem, Trouble: c.problemKind,
		Replaced: c.replaced, Once: c.once,
	}
	if heard := c.heard.Load(); heard != 0 {
		s.LastHeard = time.Unix(0, heard)
	}
	s.Protocol, s.Node, s.ReplicationAddr = c.protocol, c.node, c.replicationAddr
	s.AppliedTid, s.DurableTid, s.SentTid = c.progress.tids()
	if s.Silent = c.protocol != "" && c.protocol != protocol.Native; s.Silent {
		s.AppliedTid, s.DurableTid = 0, 0
		s.Lag.Exact = s.Lag.Exact && s.SentTid < last
	}
	switch {
	case c.state == StateLive && c.seed != nil:
		c.seed.show(&s, c.problem != "", c.p.opt.stallAfter, size, now)
	case c.state == StateLive:
		s.State = c.progress.state(s.Lag, c.problem != "", c.p.opt.stallAfter, now)
	}
	return s
}

// count keeps the number of transactions that the secondary has still to get. Each is counted once, by its header, so
// that a long backlog is known soon after connecting and costs little afterwards.
func (c *peer) count(ctx context.Context) error {
	return every(ctx, c.p.opt.Heartbeat, func() error {
		after, begun := c.progress.uncounted()
		if !begun || after >= c.p.src.LastTid() {
			return nil
		}
		n, upTo, err := c.p.src.Count(ctx, after)
		switch {
		case err == nil:
			c.progress.count(after, n, upTo)
		case ctx.Err() == nil && !errors.Is(err, zodb.ErrNoTid):
			c.log.Info("counting a secondary's missing transactions failed; its lag is shown as a lower bound",
				"error", err)
		}
		return nil
	})
}

// every calls f now and at every interval until it fails or ctx ends.
func every(ctx context.Context, interval time.Duration, f func() error) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		if err := f(); err != nil {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A goodbyeError is a reason to end a connection that the secondary should hear: it goes out as a goodbye.
type goodbyeError struct{ err error }

func (e *goodbyeError) Error() string { return e.err.Error() }
func (e *goodbyeError) Unwrap() error { return e.err }

func goodbye(format string, args ...any) error { return &goodbyeError{fmt.Errorf(format, args...)} }

// isGoodbye reports whether err is such a reason.
func isGoodbye(err error) bool {
	var p *goodbyeError
	return errors.As(err, &p)
}

// Reasons for the end of a connection.
var (
	errShutdown = goodbye("the primary is shutting down")
	errDrained  = goodbye("everything has been sent and the primary is shutting down")
	errGoodbye  = errors.New("the secondary ended the connection")
	errHungUp   = errors.New("the secondary closed the connection")
	errConfirm  = errors.New("the secondary connects again to have the identity confirmed")
)

// maxName is how many bytes of a text from a peer are shown.
const maxName = 200

// clean is what is shown of a text from a peer.
func clean(s string) string { return printable.Short(s, maxName) }
