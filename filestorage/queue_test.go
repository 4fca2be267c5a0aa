package filestorage

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/zodb"
)

// What comes while a committer waits for the disk is the syncer's as soon as that has ended.
func TestTheSyncerTakesWhatHasGathered(t *testing.T) {
	s, disk, syncs := openHeld(t)
	a := here(t, completed(t, s, 1))
	settle(a)
	records := <-syncs
	b := here(t, completed(t, s, 2))
	for len(s.queue.wake) > 0 { // the syncer has looked, and found that another one is at the disk
		runtime.Gosched()
	}
	disk.syncs.Store(nil)
	close(records)
	<-a.Done()
	<-b.Done()
	if err := errors.Join(a.Err(), b.Err(), s.Close()); err != nil {
		t.Error(err)
	}
}

// After a group that fails nothing is committed any more: what has gathered meanwhile builds on it, and fails as well.
// It is told once.
func TestWhatHasGatheredFailsWithTheGroupBeforeIt(t *testing.T) {
	broken := errors.New("broken disk")
	s, disk, syncs := openHeld(t)
	var log bytes.Buffer
	s.log = hclog.New(&hclog.LoggerOptions{Output: &log})
	a := here(t, completed(t, s, 1))
	settle(a)
	records := <-syncs
	b, c := here(t, completed(t, s, 2)), here(t, completed(t, s, 3))
	disk.syncs.Store(nil)
	records <- broken
	var failed *FailedError
	for _, commit := range []*Commit{a, b, c} {
		<-commit.Done()
		if err := commit.Err(); !errors.As(err, &failed) || !errors.Is(err, broken) {
			t.Errorf("a commit: %v", err)
		}
	}
	if s.queue.busy() || s.queue.hasRoom() || s.queue.takeTurn() != nil || s.queue.room(t.Context(), 1) == nil {
		t.Error("something is still under way, or may begin")
	}
	if _, ok := s.queue.find(2); ok || s.LastTid() != 0 {
		t.Errorf("something of it is there; the last is %v", s.LastTid())
	}
	_ = s.Close() // fails as the disk has
	if n := strings.Count(log.String(), "takes no more transactions"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}

// A committer does not make a group durable that the syncer is about to take.
func TestNobodyLeadsAGroupOfOthers(t *testing.T) {
	st := newStage(t, story{prepare: startIdle})
	first := st.enqueue(1, "first", "")
	if !st.s.queue.busy() {
		t.Error("nothing is under way")
	}
	if st.s.queue.takeTurn() != nil {
		t.Error("the disk is reserved while a group waits for the syncer")
	}
	second := here(t, completed(t, st.s, 2))
	if second.Leads() || second.group != first.group {
		t.Error("it is no part of the group before it")
	}
	go st.s.syncGroups()
	st.wait(first)
	<-second.Done()
	if err := errors.Join(second.Err(), st.err); err != nil || st.s.queue.busy() {
		t.Error(err)
	}
	st.end()
}

// No more is on its way to the disk than the next opening takes for what may not be there, in bytes and in number.
func TestAQueueHasABound(t *testing.T) {
	soon, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		fill func(*queue)
		room bool
	}{
		{"nothing", func(*queue) {}, true},
		{"less than the most bytes", func(q *queue) { q.weight = maxUnsynced - 1 }, true},
		{"the most bytes", func(q *queue) { q.weight = maxUnsynced }, false},
		{"less than the most transactions", func(q *queue) { q.forming.n = maxGroup - 1 }, true},
		{"the most transactions", func(q *queue) { q.forming.n = maxGroup }, false},
		{"a storage that has failed", func(q *queue) { q.failed = errChanged }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := newQueue()
			q.forming = &group{done: make(chan struct{})}
			c.fill(q)
			if q.hasRoom() != c.room {
				t.Errorf("has room: %v", q.hasRoom())
			}
			if err := q.room(soon, maxUnsynced); (err == nil) != c.room {
				t.Errorf("waits: %v", err)
			}
			q.forming, q.weight = nil, maxUnsynced
			if err := q.room(soon, maxUnsynced); err != nil && q.failed == nil {
				t.Errorf("waits for nobody: %v", err)
			}
		})
	}
}

// A record that is not durable yet is found, the newest one, until it is.
func TestWhatIsOnItsWayIsFound(t *testing.T) {
	st := newStage(t, story{prepare: startIdle})
	first := st.enqueue(1, "first", "")
	before, _ := st.s.queue.find(1)
	second := st.enqueue(1, "second", "")
	after, ok := st.s.queue.find(1)
	if !ok || after <= before || before == 0 {
		t.Errorf("found at %d, then at %d", before, after)
	}
	g, _ := st.s.queue.takeNow()
	third := st.enqueue(1, "third", "")
	st.s.finalizeNext(g)
	st.wait(first, second)
	if last, ok := st.s.queue.find(1); !ok || last <= after {
		t.Errorf("after the first group: %d, %v", last, ok)
	}
	go st.s.syncGroups()
	st.wait(third)
	if _, ok := st.s.queue.find(1); ok || st.err != nil || st.s.LastTid() != zodb.Tid(40) {
		t.Errorf("found when it is durable, %v; the last is %v", st.err, st.s.LastTid())
	}
	st.end()
}

// The room for many records is given back when they are durable, and no other record is forgotten with them.
func TestManyDurableRecordsTakeNoOtherWithThem(t *testing.T) {
	for _, more := range []bool{true, false} {
		q := newQueue()
		g := &group{done: make(chan struct{})}
		for oid := range zodb.Oid(manyPending + 1) {
			g.entries = append(g.entries, entry{oid, int64(oid + 1)})
			q.pending[oid] = int64(oid + 1)
		}
		const later = manyPending + 7
		if more {
			q.pending[later] = 1 << 40
		}
		q.end(g, nil)
		if _, ok := q.find(0); ok {
			t.Error("a durable record is still found")
		}
		if pos, ok := q.find(later); ok != more || more && pos != 1<<40 {
			t.Errorf("one that is on its way is at %d, %v", pos, ok)
		}
	}
}

// A group that comes as a whole counts as its transactions do.
func TestAGroupThatIsPutCounts(t *testing.T) {
	soon, cancel := context.WithCancel(t.Context())
	cancel()
	q := newQueue()
	if err := q.put(t.Context(), &group{weight: maxUnsynced, done: make(chan struct{})}); err != nil {
		t.Fatal(err)
	}
	if q.hasRoom() || q.lighter(soon, maxUnsynced) == nil || q.lighter(soon, maxUnsynced+1) != nil {
		t.Errorf("a weight of %d", q.weight)
	}
	if q.put(soon, &group{done: make(chan struct{})}) == nil {
		t.Error("another one is put before the syncer has taken it")
	}
}
