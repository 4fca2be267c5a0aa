package primary

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// tidLen is the length of the second message of a zrs2 secondary, and the most that a zc.zrs primary takes.
const tidLen = 8

// A zrs2 peer is a zc.zrs secondary, or a zrsd that speaks like one. It says from where it wants the stream, and then
// nothing but keep-alives, and also those only where it was told to: an empty keep-alive-delay, the default of zc.zrs,
// means none. It must be sent none: zc.zrs takes an empty message between transactions for damage and hangs up.
type zrs2 struct {
	*peer
	over atomic.Bool   // we send no more: the secondary is expected to hang up
	gone chan struct{} // closed when it has
}

func newZrs2(c *peer) *zrs2 { return &zrs2{peer: c, gone: make(chan struct{})} }

func (c *zrs2) replicate(ctx context.Context) error {
	start, err := c.start(ctx)
	if err != nil {
		return err
	}
	if r := c.take(slotFollowing); r != nil {
		c.refused(r)
		return r
	}
	if r := c.p.judgeZrs2(ctx, c.protocol, start); r != nil {
		c.refused(r) // the protocol has no words for it
		return r
	}
	it, err := c.p.src.Iterate(start, true)
	if err != nil {
		return c.p.sourceFailed(err)
	}
	defer closeQuietly(it) // read only
	if err := protocol.LimitSilence(c.conn, c.p.opt.IdleTimeout); err != nil {
		return fmt.Errorf("setting up the connection: %w", err)
	}
	c.streaming(new(follower))
	c.log.Info("streaming to a secondary", "protocol", c.protocol, "start", start)
	c.progress.begin(start, it.Position(), c.p.opt.now())
	return c.stream(ctx, start, it)
}

// start waits for the last transaction that the secondary has.
func (c *zrs2) start(ctx context.Context) (zodb.Tid, error) {
	c.introduce(c.protocol + "@" + host(c.conn.RemoteAddr()))
	ctx, cancel := c.authenticating(ctx)
	defer cancel()
	msg, err := protocol.ReceiveSized(ctx, c.conn, tidLen)
	switch {
	case err != nil:
		return 0, fmt.Errorf("handshake: waiting for the start of the stream: %w", err)
	case len(msg) != tidLen:
		return 0, fmt.Errorf("handshake: the start of the stream has %d bytes, not %d", len(msg), tidLen)
	}
	return zodb.Tid(binary.BigEndian.Uint64(msg)), nil
}

// host names a secondary that does not do so itself.
func host(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return "this machine"
}

// judgeZrs2 decides whether such a secondary may follow: nil, or why not. One tid is all that it knows of the history
// of the secondary.
func (p *Primary) judgeZrs2(ctx context.Context, proto string, start zodb.Tid) *protocol.Refusal {
	if p.src.HasBlobs() && proto == zrs.V20 {
		return refuse(protocol.CodeBlobsRequired, 0, "the primary has blobs, and %s cannot carry them; give the "+
			"secondary a blob directory, with which it speaks %s", zrs.V20, zrs.V21)
	}
	if start == 0 {
		return nil
	}
	_, r := p.common(ctx, start)
	return r
}

// stream runs the goroutines of an accepted secondary until one of them ends, and closes the connection. That ends the
// others.
func (c *zrs2) stream(ctx context.Context, start zodb.Tid, it zodb.Iterator) error {
	g, inner := errgroup.WithContext(ctx)
	g.Go(c.recovering(func() error { return c.deliver(inner, start, it) }))
	g.Go(c.recovering(func() error {
		defer close(c.gone)
		return c.listen()
	}))
	g.Go(c.recovering(func() error { return c.count(inner) }))
	g.Go(func() error {
		<-inner.Done()
		closeQuietly(c.conn)
		return nil
	})
	return g.Wait()
}

// Of a secondary that has been sent everything and the end.
const (
	confirmEvery = 20 * time.Millisecond // it is looked whether its kernel has confirmed that
	hangUpTime   = time.Second           // it has to hang up itself, after that
)

// deliver sends until this side has a reason to end. Then the secondary gets what is being sent.
func (c *zrs2) deliver(ctx context.Context, start zodb.Tid, it zodb.Iterator) error {
	wire := &countingWriter{w: &patientWriter{c.conn, c.p.opt.IdleTimeout}, n: &c.bytes}
	enc := &unconfirmed{Encoder: zrs.NewEncoder(wire, start), progress: c.progress, now: c.p.opt.now}
	enc.Garbled = func(tid zodb.Tid, err error) {
		c.log.Warn("the extension of a transaction cannot be sent in this protocol; an empty one is sent", "tid", tid,
			"error", err, "warning", warning.ExtensionLost)
	}
	err := c.send(ctx, &sender{c: c.peer, it: it, enc: enc, wire: wire})
	if !isGoodbye(err) || ctx.Err() != nil {
		return err
	}
	c.over.Store(true)
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		if e := half.CloseWrite(); e != nil {
			return errors.Join(err, e)
		}
	}
	if !errors.Is(err, errDrained) { // a shutdown has its own limit
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lingerLimit)
		defer cancel()
	}
	c.arrives(ctx)
	return err
}

// arrives waits until the secondary has hung up, as it does when it has read everything and the end, or its kernel has
// all of that: whether the secondary reads it, and acts on it, cannot be known.
func (c *zrs2) arrives(ctx context.Context) {
	look := time.NewTicker(confirmEvery)
	defer look.Stop()
	for {
		select {
		case <-c.gone:
			return
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if missing, known := protocol.Unacknowledged(c.conn); known && missing == 0 {
			ctx, cancel := context.WithTimeout(ctx, hangUpTime)
			defer cancel()
			select {
			case <-c.gone:
			case <-ctx.Done():
			}
			return
		}
	}
}

// listen takes keep-alives until the connection ends. The first one shows that more will come: from then on silence is
// the end.
func (c *zrs2) listen() error {
	var longest time.Duration
	for last := c.p.opt.now(); ; {
		msg, err := protocol.ReadSized(c.conn, nil, tidLen)
		switch {
		case err != nil && c.over.Load():
			return nil // deliver knows why
		case errors.Is(err, io.EOF):
			return errHungUp
		case err != nil:
			return fmt.Errorf("waiting for keep-alives: %w", err)
		case len(msg) > 0:
			return fmt.Errorf("the secondary sent %d bytes where only keep-alives may come", len(msg))
		}
		now := c.p.opt.now()
		c.heard.Store(now.UnixNano())
		longest, last = max(longest, now.Sub(last)), now
		if err := c.conn.SetReadDeadline(time.Now().Add(max(3*longest, c.p.opt.IdleTimeout))); err != nil {
			return err
		}
	}
}

// unconfirmed encodes for a secondary that acknowledges nothing: what the connection has taken counts as arrived.
type unconfirmed struct {
	*zrs.Encoder
	progress *progress
	now      func() time.Time
	last     zodb.Tid // the last transaction that is encoded, 0 before the first
}

// Encode knows that what was encoded before has left, or fails to.
func (u *unconfirmed) Encode(txn zodb.Transaction) error {
	tid := txn.Meta().Tid
	err := u.Encoder.Encode(txn)
	u.arrived()
	if err == nil {
		u.last = tid
	}
	return err
}

// Flush writes out what is buffered.
func (u *unconfirmed) Flush() error {
	if err := u.Encoder.Flush(); err != nil {
		return err
	}
	u.arrived()
	return nil
}

func (u *unconfirmed) arrived() {
	if u.last != 0 {
		u.progress.ack(u.last, u.last, u.now())
	}
}

// A patientWriter closes a connection that accepts no data for a while.
type patientWriter struct {
	conn  net.Conn
	limit time.Duration
}

func (w *patientWriter) Write(b []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.limit)); err != nil {
		return 0, err
	}
	return w.conn.Write(b)
}
