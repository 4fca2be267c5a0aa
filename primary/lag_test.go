package primary

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// at is the clock when the tid was given.
func at(tid zodb.Tid) time.Time { return tid.Time() }

// following has sent the first n of the transactions, which are 100 bytes each, and lets the secondary begin with none.
func following(n int) *progress {
	g := newProgress()
	g.begin(0, 4, at(tidAt(0)))
	for i := range n {
		g.sending(tidAt(i), 4+100*int64(i+1), at(tidAt(i)))
	}
	return g
}

func TestLag(t *testing.T) {
	const n = 10
	now := at(tidAt(20))
	for _, tt := range []struct {
		name string
		g    func() *progress
		want Lag
	}{
		{"before anything is known", newProgress, Lag{}},
		{"all sent, nothing durable", func() *progress { return following(n) }, Lag{10, 1000, 20, true}},
		{"some durable", func() *progress {
			g := following(n)
			g.ack(tidAt(6), tidAt(5), now)
			return g
		}, Lag{4, 400, 14, true}},
		{"all durable", func() *progress {
			g := following(n)
			g.ack(tidAt(9), tidAt(9), now)
			return g
		}, Lag{0, 0, 0, true}},
		{"not all sent, not counted", func() *progress { return following(3) }, Lag{3, 1000, 20, false}},
		{"not all sent, counted", func() *progress {
			g := following(3)
			g.count(tidAt(2), 7, tidAt(9))
			return g
		}, Lag{10, 1000, 20, true}},
		{"counted from where the sender no longer is", func() *progress {
			g := following(3)
			g.count(tidAt(1), 8, tidAt(9))
			return g
		}, Lag{3, 1000, 20, false}},
		{"all that was sent is durable, more is there", func() *progress {
			g := following(3)
			g.ack(tidAt(2), tidAt(2), now)
			g.count(tidAt(2), 7, tidAt(9))
			return g
		}, Lag{7, 700, 11, false}},
		{"a pack of the primary moved everything", func() *progress {
			g := following(n - 1)
			g.sending(tidAt(9), 504, now)
			return g
		}, Lag{1, 500, 11, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.g().lag(tidAt(9), 4+100*n, now); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// However much is in flight, memory is bounded and the figures stay true lower bounds.
func TestLagWithManyTransactionsInFlight(t *testing.T) {
	const n = 5 * maxFlights
	g := following(n)
	if len(g.flights) > maxFlights {
		t.Fatalf("%d flights are kept", len(g.flights))
	}
	now, last, size := at(tidAt(n)), tidAt(n-1), int64(4+100*n)
	if got := g.lag(last, size, now); got.Transactions != n || !got.Exact {
		t.Fatalf("with nothing durable: %+v", got)
	}
	for _, durable := range []int{0, 1, 2, 100, maxFlights, n / 2, n - 3, n - 2} {
		if !g.ack(tidAt(durable), tidAt(durable), now) {
			t.Fatal("refused")
		}
		got, truth := g.lag(last, size, now), int64(n-1-durable)
		if got.Transactions > truth || got.Bytes > 100*truth || got.Transactions < 1 {
			t.Errorf("%d durable: %+v, the truth is %d", durable, got, truth)
		}
		if got.Exact && got.Transactions != truth {
			t.Errorf("%d durable: %+v claims to be exact, the truth is %d", durable, got, truth)
		}
	}
	g.ack(last, last, now)
	if got := g.lag(last, size, now); got != (Lag{Exact: true}) {
		t.Errorf("all durable: %+v", got)
	}
}

func TestAcknowledgementsOnlyRise(t *testing.T) {
	g := following(5)
	g.ack(tidAt(3), tidAt(3), at(tidAt(9)))
	g.ack(tidAt(1), tidAt(1), at(tidAt(9)))
	if applied, durable, _ := g.tids(); applied != tidAt(3) || durable != tidAt(3) {
		t.Errorf("fell to %v, %v", applied, durable)
	}
	if g.ack(tidAt(5), 0, at(tidAt(9))) {
		t.Error("took an acknowledgement of what was never sent")
	}
}

func TestStateOfASecondary(t *testing.T) {
	const stall = 30 * time.Second
	caught := func() *progress {
		g := following(3)
		g.atEnd()
		return g
	}
	for _, tt := range []struct {
		name     string
		g        *progress
		lag      Lag
		troubled bool
		after    time.Duration // since the last progress
		want     State
	}{
		{"history", following(3), Lag{Seconds: 1e6}, false, 0, StateCatchingUp},
		{"reached the end", caught(), Lag{Seconds: 1}, false, 0, StateLive},
		{"fell behind again", caught(), Lag{Seconds: 11}, false, 0, StateCatchingUp},
		{"no progress", caught(), Lag{Seconds: 11}, false, stall, StateStalled},
		{"trouble of its own", caught(), Lag{}, true, 0, StateStalled},
	} {
		if got := tt.g.state(tt.lag, tt.troubled, stall, at(tidAt(0)).Add(tt.after)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	idle := caught()
	idle.ack(tidAt(2), tidAt(2), at(tidAt(2)))
	if got := idle.state(Lag{Exact: true}, false, stall, at(tidAt(2)).Add(time.Hour)); got != StateLive {
		t.Errorf("nothing to do for an hour: %s", got)
	}
}

// In old files tids go down here and there. What was acknowledged then is told by the tid itself, not by its order.
func TestAcknowledgementsWhereTidsGoDown(t *testing.T) {
	g := newProgress()
	now := at(tidAt(9))
	g.begin(0, 4, now)
	for i, tid := range []zodb.Tid{tidAt(5), tidAt(2), tidAt(3)} {
		g.sending(tid, 4+100*int64(i+1), now)
	}
	for i, tid := range []zodb.Tid{tidAt(5), tidAt(2), tidAt(3)} {
		if done, _ := g.allDurable(); done {
			t.Errorf("all is durable after %d acknowledgements", i)
		}
		if !g.ack(tid, tid, now) {
			t.Errorf("%v was never sent", tid)
		}
	}
	if done, _ := g.allDurable(); !done || g.lag(tidAt(3), 304, now) != (Lag{Exact: true}) {
		t.Errorf("after all: %v, %+v", done, g.lag(tidAt(3), 304, now))
	}
	if g.ack(tidAt(6), tidAt(6), now) {
		t.Error("one that was never sent is taken")
	}
}

// A secondary that has come to a tid in the midst of an old file that is above the last one, of a clock that was ahead,
// counts for nothing: it lacks what follows there, and all that was committed since.
func TestATidAboveTheLastOneCountsForNothing(t *testing.T) {
	src := newSource()
	for _, tid := range []zodb.Tid{tidAt(1), tidAt(9), tidAt(3)} {
		src.commit(memTxn{tid: tid})
	}
	p := &Primary{src: src}
	for tid, want := range map[zodb.Tid]zodb.Tid{0: 0, tidAt(1): tidAt(1), tidAt(9): 0, tidAt(3): tidAt(3)} {
		if got := p.counted(tid); got != want {
			t.Errorf("who has %v counts as one that has %v, want %v", tid, got, want)
		}
	}
}
