package filestorage

import (
	"context"
	"sync"

	"github.com/zrsd/zrsd/zodb"
)

// maxUnsynced bounds the weight of the transactions that are on their way to the disk. One more may be added to them.
const maxUnsynced = 32 << 20

// A queue holds the transactions between Enqueue and the disk: one group that is being made durable by the storage's
// syncer, and one that gathers what comes meanwhile. So an idle disk gets each transaction at once, and a busy one gets
// as many at a time as it needs.
//
// Lock order: queue.mu before Storage.view before the frontier's.
type queue struct {
	mu      sync.Mutex
	forming *group // nil when empty
	syncing *group // nil when the syncer is idle
	weight  int64  // of both
	pending map[zodb.Oid]int64
	failed  error // set once: the storage takes no more transactions

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
		s.queue.settled(g, s.settle(g))
	}
}

// take waits for a group and returns it, or nil when the queue is closed and empty.
func (q *queue) take() *group {
	for {
		if g := q.takeNow(); g != nil {
			return g
		}
		select {
		case <-q.wake:
		case <-q.stop:
			return q.takeNow()
		}
	}
}

func (q *queue) takeNow() *group {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.syncing, q.forming = q.forming, nil
	return q.syncing
}

// settled ends the wait of all who have a part in g. After a failure the group behind it fails too.
func (q *queue) settled(g *group, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.syncing = nil
	q.end(g, err)
	if next := q.forming; err != nil && next != nil {
		q.forming = nil
		q.end(next, err)
	}
}

func (q *queue) end(g *group, err error) {
	for _, e := range g.entries {
		if q.pending[e.oid] == e.pos {
			delete(q.pending, e.oid)
		}
	}
	q.weight -= g.weight
	g.err, g.entries, g.blobs = err, nil, nil
	close(g.done)
}

// join adds t, which is complete in the file, to the forming group, or makes it the first of one. All but the first get
// their final status at once: it is that of the first by which they are finished or not.
func (q *queue) join(t *Txn) (*group, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed != nil {
		return nil, q.failed
	}
	g := q.forming
	if g == nil {
		g = &group{}
	} else if err := t.setStatus(); err != nil {
		return nil, err
	}
	g.add(t)
	for _, e := range t.entries {
		q.pending[e.oid] = e.pos
	}
	q.weight += t.weight()
	q.forming = g
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return g, nil
}

// find returns the offset of the newest record of oid that is on its way to the disk.
func (q *queue) find(oid zodb.Oid) (pos int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	pos, ok = q.pending[oid]
	return pos, ok
}

// room waits until less than limit is on its way to the disk.
func (q *queue) room(ctx context.Context, limit int64) error {
	for {
		q.mu.Lock()
		failed, full, g := q.failed, q.weight >= limit, q.syncing
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
		s.log.Error("the storage takes no more transactions", "file", s.path, "error", err)
	}
	return s.queue.failed
}
