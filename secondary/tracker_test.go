package secondary

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A clock stands still until it is told to move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time         { return c.t }
func (c *clock) passes(d time.Duration) { c.t = c.t.Add(d) }
func (c *clock) tid(t *testing.T) zodb.Tid {
	t.Helper()
	tid, err := zodb.TidFromTime(c.t)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func newClock() *clock { return &clock{time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)} }

func seconds(l Lag) float64 {
	if l.Seconds == nil {
		return -1
	}
	return *l.Seconds
}

func mustBe(t *testing.T, tr *tracker, own zodb.Tid, saved State, lag float64) {
	t.Helper()
	st := tr.snapshot(own)
	if st.State != saved {
		t.Errorf("state %s, want %s", st.State, saved)
	}
	got := seconds(st.Lag)
	if got < lag-0.001 || got > lag+0.001 {
		t.Errorf("lag %v s, want %v", got, lag)
	}
	if none := st.Lag.Bytes != nil && st.Lag.Transactions != nil; none != (lag == 0) {
		t.Errorf("lag of %v s in bytes and transactions: %v %v", lag, st.Lag.Bytes, st.Lag.Transactions)
	}
}

func TestAStateFollowsWhatThePrimaryTells(t *testing.T) {
	c := newClock()
	tr := newTracker(c.now)
	mustBe(t, tr, 0, StateConnecting, -1)
	old := c.tid(t)
	c.passes(time.Hour)
	mid := c.tid(t)
	c.passes(time.Minute)
	last := c.tid(t)

	tr.welcomed(&protocol.Welcome{LastTid: last}, old)
	mustBe(t, tr, old, StateCatchingUp, -1) // the primary's clock is not known yet
	tr.heartbeat(&protocol.Heartbeat{LastTid: last, Clock: c.now()})
	mustBe(t, tr, old, StateCatchingUp, 3660)
	tr.began(mid)
	tr.durable(mid, 1)
	mustBe(t, tr, mid, StateCatchingUp, 60)
	tr.began(last)
	tr.durable(last, 1)
	mustBe(t, tr, last, StateLive, 0)
	if st := tr.snapshot(last); st.Transactions != 2 {
		t.Errorf("%d transactions", st.Transactions)
	}
}

func TestALagIsNoOlderThanTheLastTimeThatNothingWasMissing(t *testing.T) {
	c := newClock()
	tr := newTracker(c.now)
	old := c.tid(t)
	tr.welcomed(&protocol.Welcome{LastTid: old}, old)
	c.passes(time.Hour) // idle
	tr.heartbeat(&protocol.Heartbeat{LastTid: old, Clock: c.now()})
	mustBe(t, tr, old, StateLive, 0)
	c.passes(2 * time.Second)
	tr.began(c.tid(t)) // a commit arrives
	mustBe(t, tr, old, StateLive, 2)
}

func TestASecondaryThatFallsBehindIsNotLive(t *testing.T) {
	c := newClock()
	tr := newTracker(c.now)
	first := c.tid(t)
	tr.welcomed(&protocol.Welcome{LastTid: first}, first)
	for range 2 {
		tr.heartbeat(&protocol.Heartbeat{LastTid: first, Clock: c.now()})
	}
	c.passes(5 * time.Second)
	second := c.tid(t)
	tr.heartbeat(&protocol.Heartbeat{LastTid: second, Clock: c.now()})
	mustBe(t, tr, first, StateLive, 5) // on its way
	c.passes(5 * time.Second)
	tr.heartbeat(&protocol.Heartbeat{LastTid: c.tid(t), Clock: c.now()})
	mustBe(t, tr, first, StateCatchingUp, 10)
}

func TestWithoutAConnectionTheLagRises(t *testing.T) {
	c := newClock()
	tr := newTracker(c.now)
	last := c.tid(t)
	tr.welcomed(&protocol.Welcome{LastTid: last}, last)
	tr.heartbeat(&protocol.Heartbeat{LastTid: last, Clock: c.now()})
	tr.failed(StateWaiting, errCut, errCut)
	c.passes(time.Minute)
	mustBe(t, tr, last, StateWaiting, 60)
}

func TestAStateThatNeedsAnOperatorStaysWhileConnecting(t *testing.T) {
	for _, s := range []State{StateRefused, StateFailed} {
		tr := newTracker(newClock().now)
		tr.failed(s, errCut, errCut)
		tr.connecting("b:1")
		if st := tr.snapshot(0); st.State != s || st.Address != "b:1" || st.LastError != "cut" {
			t.Errorf("%+v", st)
		}
		tr.welcomed(&protocol.Welcome{LastTid: 5}, 0)
		if st := tr.snapshot(0); st.State != StateCatchingUp {
			t.Errorf("accepted and still %s", st.State)
		}
	}
}

func TestProgressIsATransactionOrTheEnd(t *testing.T) {
	c := newClock()
	for name, f := range map[string]func(*tracker) bool{
		"nothing":             func(*tracker) bool { return false },
		"behind heartbeat":    func(tr *tracker) bool { tr.heartbeat(&protocol.Heartbeat{LastTid: 9}); return false },
		"half a transaction":  func(tr *tracker) bool { tr.began(8); return false },
		"durable transaction": func(tr *tracker) bool { tr.durable(8, 1); return true },
		"caught up":           func(tr *tracker) bool { tr.heartbeat(&protocol.Heartbeat{LastTid: 7}); return true },
	} {
		tr := newTracker(c.now)
		tr.welcomed(&protocol.Welcome{LastTid: 9}, 7)
		if want := f(tr); tr.progressed() != want {
			t.Errorf("%s: progress %v", name, !want)
		}
		tr.welcomed(&protocol.Welcome{LastTid: 9}, 7)
		if tr.progressed() {
			t.Errorf("%s: counts for the next connection", name)
		}
	}
}
