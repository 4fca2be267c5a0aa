package filestorage

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A pretended way is one whose time goes on by itself: while it sleeps, and as the test says.
type pretended struct {
	way
	at time.Time
}

func pretend(busy func(*pretended) bool) *pretended {
	p := &pretended{at: time.Unix(1e9, 0)}
	p.way = way{
		busy: func() bool { return busy(p) }, now: func() time.Time { return p.at },
		sleep: func(d time.Duration) { p.at = p.at.Add(d) }, begun: p.at,
	}
	return p
}

func TestAPackMakesWayForATransaction(t *testing.T) {
	var until time.Time
	p := pretend(func(p *pretended) bool { return p.at.Before(until) })
	p.at = p.at.Add(time.Second) // worked
	from := p.at
	p.make()
	if !p.at.Equal(from) {
		t.Errorf("nobody commits, and it waits for %v", p.at.Sub(from))
	}
	until = from.Add(wayMost / 2)
	p.make()
	if p.at.Before(until) || p.at.After(until.Add(wayStep)) || p.waited != p.at.Sub(from) {
		t.Errorf("a transaction of %v: it waits for %v", wayMost/2, p.at.Sub(from))
	}
	p.hurry = true
	until, from = p.at.Add(time.Hour), p.at
	if p.make(); !p.at.Equal(from) {
		t.Error("everybody waits for it, and it waits")
	}
}

func TestAPackMakesWayForAWhileOnly(t *testing.T) {
	p := pretend(func(*pretended) bool { return true })
	p.at = p.at.Add(time.Second)
	from := p.at
	p.make()
	if d := p.at.Sub(from); d < wayMost || d > wayMost+wayStep {
		t.Errorf("it waits for %v at a time, want %v", d, wayMost)
	}
	p = pretend(func(*pretended) bool { return true })
	for range 10_000 {
		p.at = p.at.Add(wayStep) // worked
		p.make()
	}
	all := p.at.Sub(p.begun)
	if part := float64(p.waited) / float64(all-p.waited); part > 1.05/wayPart || part < 0.95/wayPart {
		t.Errorf("it has waited for %v of %v", p.waited, all)
	}
}

func TestWhoCommitsIsSeen(t *testing.T) {
	s, err := Open(t.Context(), "Data.fs", Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.commits() {
		t.Error("nobody commits")
	}
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	if !s.commits() {
		t.Error("a transaction has begun")
	}
	c, err := txn.EnqueueHere(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !s.commits() {
		t.Error("a transaction is on its way to the disk")
	}
	c.Finalize()
	if s.commits() {
		t.Error("the transaction is there")
	}
}
