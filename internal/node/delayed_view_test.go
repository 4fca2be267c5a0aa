package node

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/feed"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A told sink keeps the transactions that it was told.
type told struct {
	feed.Writer
	mu   sync.Mutex
	tids []zodb.Tid
}

func (s *told) Put(_ context.Context, lines []feed.Line) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range lines {
		s.tids = append(s.tids, line.Tid)
	}
	return nil
}

func (*told) Idle(context.Context) error { return nil }

func (s *told) want(t *testing.T, tids ...zodb.Tid) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.tids, tids) {
		t.Errorf("it was told %v, want %v", s.tids, tids)
	}
}

// A feed and the undo log of a delayed node have what clients see, when they see it, and as primary everything.
func TestAFeedOfADelayedSecondaryIsDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLate(t, simdisk.New())
		one := store(t, l.storage, "one")
		l.serve(zeo.ReadOnly)
		defer l.close(t)
		st := l.c.view(l.storage)
		sink := &told{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Feed(ctx, st.(feedable), admin.FeedQuery{Follow: true}, sink, Paths{}) }()
		pause.For(t.Context(), time.Hour)
		two := store(t, l.storage, "two")
		pause.For(t.Context(), time.Hour)
		three := store(t, l.storage, "three")
		sink.want(t)
		pause.For(t.Context(), 2*time.Hour+time.Second)
		sink.want(t, one)
		now := &told{}
		if err := Feed(ctx, st.(feedable), admin.FeedQuery{}, now, Paths{}); err != nil {
			t.Error(err)
		}
		now.want(t, one)
		if last := st.(feedable).LastTid(); last != one {
			t.Errorf("the latest transaction is %v, want %v", last, one)
		}
		list, err := UndoLog(ctx, st, admin.UndoQuery{Count: 9})
		if err != nil || len(list) != 1 || list[0].Tid != one {
			t.Errorf("the undo log has %v, %v", list, err)
		}
		pause.For(t.Context(), time.Hour)
		sink.want(t, one, two)
		l.leads.Store(true)
		l.poke()
		sink.want(t, one, two, three)
		four := store(t, l.storage, "four")
		sink.want(t, one, two, three, four)
		cancel()
		<-done
	})
}
