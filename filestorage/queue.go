package filestorage

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// maxUnsynced bounds the weight of the transactions that are not synced yet. One more may be added to them.
const maxUnsynced = 32 << 20

// maxGroup bounds the transactions of a group of commits. Who looks for the end of the file while others write it, as
// Attach does, goes back over twice as many, or twice as many as an appended group has, and comes upon the first one of
// a group, whose status says that it is not finished.
const maxGroup = nearEnd / 2

// A queue holds the transactions between Enqueue and the disk: one group that is being made durable, and one that
// gathers what comes meanwhile. So an idle disk gets each transaction at once, and a busy one gets as many at a time as
// it needs.
//
// Groups are made durable one after the other, by the storage's syncer or, where nobody else is at it and the disk is
// quick, by the committer itself: see Commit.Settle. What has gathered meanwhile is then the syncer's.
//
// Lock order: queue.mu before Storage.view before that of the commit point.
type queue struct {
	mu       sync.Mutex
	forming  *group // nil when empty
	syncing  *group // nil when nobody is at it
	weight   int64  // of both
	pending  map[zodb.Oid]int64
	failed   error         // set once: the storage takes no more transactions
	syncTime time.Duration // what the disk has lately needed for a group

	wake    chan struct{} // one slot
	stop    chan struct{}
	stopped chan struct{}
}

func newQueue() *queue {
	return &queue{
		pending: make(map[zodb.Oid]int64),
		wake:    make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// syncGroups is the syncer: it settles one group after the other until the queue is closed.
func (s *Storage) syncGroups() {
	defer close(s.queue.stopped)
	for g := s.queue.take(); g != nil; g = s.queue.take() {
		s.finalizeNext(g)
	}
}

// finalizeNext settles g, which is the one that q.syncing is.
func (s *Storage) finalizeNext(g *group) {
	begun := time.Now()
	err := s.commitGroup(g)
	s.queue.took(time.Since(begun))
	s.queue.finished(g, err)
}

// take waits for a group and returns it, or nil when the queue is closed and empty.
func (q *queue) take() *group {
	for {
		if g, _ := q.takeNow(); g != nil {
			return g
		}
		select {
		case <-q.wake:
		case <-q.stop:
			return q.takeLast()
		}
	}
}

// takeNow returns the group that has formed, unless another one is being made durable, which it returns as well.
func (q *queue) takeNow() (g, other *group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.syncing != nil {
		return nil, q.syncing
	}
	q.syncing, q.forming = q.forming, nil
	return q.syncing, nil
}

// takeLast is take when nothing joins any more.
func (q *queue) takeLast() *group {
	for {
		g, other := q.takeNow()
		if other == nil {
			return g
		}
		<-other.done
	}
}

// finished ends the wait of all who have a part in g. After a failure the group after it fails too; otherwise that is
// the syncer's.
func (q *queue) finished(g *group, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.syncing = nil
	q.end(g, err)
	next := q.forming
	switch {
	case next == nil:
	case err != nil:
		q.forming = nil
		q.end(next, err)
	default:
		q.wakeSyncer()
	}
}

func (q *queue) wakeSyncer() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// manyPending is from how many records on their memory is freed when they are durable.
const manyPending = 1 << 12

func (q *queue) end(g *group, err error) {
	for _, e := range g.entries {
		if q.pending[e.oid] == e.pos {
			delete(q.pending, e.oid)
		}
	}
	if len(q.pending) == 0 && len(g.entries) > manyPending {
		q.pending = make(map[zodb.Oid]int64) // a map keeps the room that it once needed
	}
	q.weight -= g.weight
	g.many.close()
	g.err, g.entries, g.blobs, g.newest = err, nil, nil, offsetTable{}
	close(g.done)
}

// join adds t, which is complete in the file, to the forming group, or makes it the first of one. All but the first get
// their final status at once: it is that of the first by which they are finished or not. With settles set the caller is
// ready to make the group durable itself, and does so when lead is true.
func (q *queue) join(t *Txn, finalizes bool) (g *group, lead bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed != nil {
		return nil, false, q.failed
	}
	lead = finalizes && q.idle() && t.s.waiting.Load() == 0 // those who wait can be in the same group
	if g = q.forming; g == nil {
		g = &group{}
	} else if err := t.setStatus(); err != nil {
		return nil, false, err
	}
	g.add(t)
	for _, e := range t.entries {
		q.pending[e.oid] = e.pos
	}
	q.weight += t.weight()
	if lead {
		q.syncing, g.here = g, true
		return g, true, nil
	}
	q.forming = g
	q.wakeSyncer()
	return g, false, nil
}

// quickDisk is how long a group may take for committers to wait for the disk themselves, instead of handing over: what
// that costs is a tenth of a millisecond, and while a committer waits for the disk it does nothing else.
const quickDisk = 5 * time.Millisecond

// idle reports whether nothing is being written to a quick disk. It is called with mu held.
func (q *queue) idle() bool { return q.syncing == nil && q.forming == nil && q.syncTime <= quickDisk }

// takeTurn reserves the disk for a caller without a group, until aheadOf; nil if something is being written.
func (q *queue) takeTurn() *group {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed != nil || !q.idle() {
		return nil
	}
	q.syncing = &group{done: make(chan struct{})}
	return q.syncing
}

// aheadOf ends a turn, in which t was made durable unless there is an error.
func (q *queue) aheadOf(t *Txn, turn *group, err error) {
	q.mu.Lock()
	t.ahead = err == nil
	q.mu.Unlock()
	q.finished(turn, err)
}

// took notes what the disk needed for a group. A single long wait counts little.
func (q *queue) took(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.syncTime += (min(d, 4*quickDisk) - q.syncTime) / 8
}

// find returns the offset of the newest record of oid that is not durable yet.
func (q *queue) find(oid zodb.Oid) (pos int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if pos, ok = q.pending[oid]; ok {
		return pos, true
	}
	for _, g := range [...]*group{q.forming, q.syncing} { // appended ones; what has joined them is in pending
		if g != nil {
			if pos, ok = g.newest.get(oid); ok {
				return pos, true
			}
		}
	}
	return 0, false
}

// put gives a group that is complete in the file to the syncer. It waits while another one does so. The caller has the
// commit lock.
func (q *queue) put(ctx context.Context, g *group) error {
	if err := q.wait(ctx, func() bool { return q.forming != nil }); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed != nil {
		return q.failed
	}
	q.forming = g
	q.weight += g.weight
	q.wakeSyncer()
	return nil
}

// lighter waits until less than limit is unsynced, however many transactions that are.
func (q *queue) lighter(ctx context.Context, limit int64) error {
	return q.wait(ctx, func() bool { return q.weight >= limit })
}

// room waits until less than limit is unsynced, and a transaction can join.
func (q *queue) room(ctx context.Context, limit int64) error {
	return q.wait(ctx, func() bool { return q.full(limit) })
}

// wait waits while full, which is called with mu held, and something is being made durable.
func (q *queue) wait(ctx context.Context, full func() bool) error {
	for {
		q.mu.Lock()
		failed, full, g := q.failed, full(), q.syncing
		if g == nil {
			g = q.forming
		}
		q.mu.Unlock()
		switch {
		case failed != nil:
			return failed
		case !full || g == nil:
			return nil
		}
		select {
		case <-g.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// busy reports whether transactions are not durable yet.
func (q *queue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.syncing != nil || q.forming != nil
}

// hasRoom reports whether room would not wait, and not fail.
func (q *queue) hasRoom() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failed == nil && !q.full(maxUnsynced)
}

// full reports whether no more may be under way, with mu held.
func (q *queue) full(limit int64) bool {
	return q.weight >= limit || q.forming != nil && q.forming.n >= maxGroup
}

// close ends the syncer after it has settled what is in the queue. Nothing may join any more.
func (q *queue) close() {
	close(q.stop)
	<-q.stopped
}

// fail stops all writing because of err and returns the error that every later transaction gets.
func (s *Storage) fail(err error) error {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if s.queue.failed == nil {
		s.queue.failed = &FailedError{Path: s.path, Cause: err}
		s.log.Error("the storage takes no more transactions", "file", s.path, "error", err, "warning",
			warning.StorageFailed)
	}
	return s.queue.failed
}
