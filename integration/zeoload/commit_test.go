package zeoload

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

func TestCommitsAreCommitted(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		o, err := Commits(ctx, s.clients(ctx, t, 3), first, 1000, time.Millisecond)
		if err != nil || len(o.Latencies) < 3 {
			t.Fatalf("%d commits, %v", len(o.Latencies), err)
		}
		for i := range zodb.Oid(6) {
			if _, _, err := s.storage.Load(first + i); err != nil {
				t.Error(err)
			}
		}
		if n := s.storage.Len(); n != 6 {
			t.Errorf("%d objects, want 6", n)
		}
	})
}

func TestAWriterGoesOnFromItsLastCommit(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		w := NewWriter(s.clients(ctx, t, 1)[0], first, 1000)
		var last zodb.Tid
		for range 3 {
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			if w.Tid() <= last || w.Tid() != s.storage.LastTid() {
				t.Errorf("commit %v, before %v, the storage says %v", w.Tid(), last, s.storage.LastTid())
			}
			last = w.Tid()
		}
	})
}

func TestAConflictIsAnError(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		conns := s.clients(ctx, t, 2)
		if err := NewWriter(conns[0], first, 1000).Commit(); err != nil {
			t.Fatal(err)
		}
		if err := NewWriter(conns[1], first, 1000).Commit(); err == nil {
			t.Error("two writers have created the same object")
		}
	})
}

func TestSteadyCommitsEndWhenTheyAreTold(t *testing.T) {
	ctx := within(t)
	s := start(t)
	watcher := s.clients(ctx, t, 1)[0]
	enough := make(chan struct{})
	go func() {
		defer close(enough)
		for range 10 {
			if _, err := watcher.Invalidation(); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	o, err := Steady(ctx, s.clients(ctx, t, 2), first, 1000, time.Millisecond, enough)
	if err != nil || len(o.Latencies) < 10 {
		t.Errorf("%d commits, %v", len(o.Latencies), err)
	}
}
