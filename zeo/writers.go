package zeo

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zeo/wire"
)

// A writerDecision is what becomes of a client that wants to write.
type writerDecision byte

const (
	admitted   writerDecision = iota // it may write here
	refused                          // it may not: another node leads
	again                            // it is to look at all addresses again
	otherLeads                       // the same, for another node leads
	onlyReads                        // nobody leads: it reads here until somebody does
)

// Times of clients that want to write where nobody leads.
const (
	holdFor       = 5 * time.Second        // then a client looks at all addresses again
	clearWithin   = 2 * time.Second        // or one at a node without writers, where no transaction is cleared yet
	greetingPause = 200 * time.Millisecond // a node that leads is to greet the client first
)

// placeFor decides about a client that wants to write, and waits where nobody knows who leads. greeted says that other
// nodes had the time to greet it first, came when it connected. It returns how often the leader had changed by then.
func (s *storage) placeFor(ctx context.Context, came time.Time, greeted bool) (writerDecision, uint64) {
	switch {
	case s.access() != ReadOnly:
		return admitted, 0
	case s.seek == nil:
		return refused, 0
	}
	first := s.seek.enter()
	defer s.seek.leave()
	limit := time.NewTimer(min(holdFor, s.opt.HoldFor))
	defer limit.Stop()
	for waited, over := false, false; ; {
		v := s.seek.view()
		switch answered := v.answered >= first; {
		case s.access() != ReadOnly:
			return admitted, v.changes
		case answered && v.leader != "" && (waited || s.seek.missedBy(came)):
			return otherLeads, v.changes // other nodes may have refused it before there was a leader
		case answered && (v.leader != "" || !s.opt.Hold):
			return refused, v.changes
		case answered && greeted && time.Since(v.vacant) >= s.opt.HoldFor && !s.empty():
			return onlyReads, v.changes
		case answered && over:
			return again, v.changes
		default:
			waited = waited || answered
		}
		select {
		case <-v.moved:
		case <-limit.C:
			over = true
		case <-s.life.Done(): // nobody asks any more
			return again, v.changes
		case <-ctx.Done():
			return again, v.changes // to nobody
		}
	}
}

// empty reports whether there is nothing to read, as in a copy that has never reached its primary.
func (s *storage) empty() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.visible == 0
}

// greet waits a moment where it is not known who leads, or where clients cannot enter yet: a client registers at one
// server after the other, in the order in which they greet it, and is to try the one first that leads, if it can reach
// that.
func (c *client) greet() {
	for _, s := range c.srv.storages() {
		if s.unclear.Load() || s.seek != nil && s.access() == ReadOnly && s.seek.restless() {
			pause.For(c.ctx, greetingPause)
			c.greeted = true
			return
		}
	}
}

// patiently runs f, which may wait, and ends its ctx when the client has disconnected. A client that waits sends only
// keep-alives.
func (c *client) patiently(f func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.opt.HandshakeTimeout)
	defer cancel()
	var w alarm
	done := make(chan struct{})
	var g sync.WaitGroup
	g.Go(func() {
		defer close(done)
		f(ctx)
		w.ring(c.conn)
	})
	c.attend(&w, cancel, done)
	g.Wait()
	_ = c.conn.SetReadDeadline(time.Now().Add(c.srv.opt.HandshakeTimeout)) // where it fails, reading fails as well
}

// attend returns when done is closed. Before that it calls gone when the client is.
func (c *client) attend(w *alarm, gone func(), done <-chan struct{}) {
	for w.set(c.conn) {
		err := c.heartbeat()
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if !errors.Is(err, errBusy) {
			gone()
		}
		<-done
		return
	}
	<-done
}

// errBusy says that the client has sent more than a sign of life: that is for later.
var errBusy = errors.New("the client has sent a message")

// heartbeat waits for a sign of life and takes it.
func (c *client) heartbeat() error {
	n, err := wire.Next(c.in)
	if err != nil {
		return err
	}
	if n > maxHeartbeat {
		return errBusy
	}
	whole, err := c.in.Peek(int(n))
	if err != nil {
		return err
	}
	m, err := c.codec.Decode(whole[wire.SizeLen:])
	if err != nil || !m.IsReply() {
		return errBusy
	}
	_, err = c.in.Discard(len(whole))
	return err
}

const maxHeartbeat = 1 << 10

// An alarm ends a read, once.
type alarm struct {
	mu   sync.Mutex
	rang bool
}

func (w *alarm) ring(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rang = true
	_ = conn.SetReadDeadline(time.Now()) // fails for a connection that is closed, where nothing waits
}

// set lets the next read wait, and reports whether the alarm has not rung yet.
func (w *alarm) set(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.rang {
		_ = conn.SetReadDeadline(time.Time{}) // where it fails, reading fails as well
	}
	return !w.rang
}
