package filestorage

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/zodb"
)

// A group is a run of adjacent transactions that become durable and visible together. In the file its first one has
// status 'c' until all of it, blobs included, is durable; the others have their final status from the start.
type group struct {
	start   int64       // offset of the first transaction
	status  zodb.Status // what its 'c' becomes
	end     int64
	last    zodb.Tid
	entries []entry // records in file order, those of undone transactions left out
	blobs   []zodb.StagedBlob
	weight  int64 // see Txn.weight
	done    chan struct{}
	err     error // set before done is closed
}

// add appends a transaction that is complete in the file.
func (g *group) add(t *Txn) {
	if g.done == nil {
		g.start, g.status, g.done = t.start, t.header.Status, make(chan struct{})
	}
	g.end, g.last = t.s.writer.out.pos(), t.header.Tid
	g.entries = append(g.entries, t.entries...)
	g.blobs = append(g.blobs, t.blobs...)
	g.weight += t.weight()
}

// A Commit is a transaction on its way to the disk.
type Commit struct{ group *group }

// Done is closed when the transaction is durable and visible, or failed.
func (c *Commit) Done() <-chan struct{} { return c.group.done }

// Err returns, after Done, nil when the transaction is durable and visible, and otherwise a *FailedError.
func (c *Commit) Err() error { return c.group.err }

// prepare makes the content of g's blobs and its transactions durable. It leaves open whether they become final.
func (s *Storage) prepare(g *group) error {
	if err := syncBlobs(g.blobs); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return s.fail(fmt.Errorf("sync: %w", err))
	}
	return nil
}

// flip makes the transactions of g final, durably. From here on there is no way back.
func (s *Storage) flip(g *group) error {
	if _, err := s.file.WriteAt([]byte{byte(g.status)}, g.start+statusAt); err != nil {
		return s.fail(fmt.Errorf("write the status at %d: %w", g.start+statusAt, err))
	}
	if err := s.file.Sync(); err != nil {
		return s.fail(fmt.Errorf("sync the status at %d: %w", g.start+statusAt, err))
	}
	return nil
}

// show makes the transactions of g visible.
func (s *Storage) show(g *group) {
	s.view.Lock()
	for _, e := range g.entries {
		s.index.set(e.oid, e.pos)
	}
	s.frontier.advance(g.end, g.last)
	s.view.Unlock()
	s.saver.moved(s, g.end)
}

// blobWorkers is how many blobs are synced or published at a time: disks do several at once faster than one by one.
const blobWorkers = 8

func eachBlob(blobs []zodb.StagedBlob, f func(zodb.StagedBlob) error) error {
	if len(blobs) == 0 {
		return nil
	}
	var workers errgroup.Group
	workers.SetLimit(blobWorkers)
	for _, b := range blobs {
		workers.Go(func() error {
			if err := f(b); err != nil {
				return fmt.Errorf("blob of oid %v tid %v: %w", b.Oid(), b.Tid(), err)
			}
			return nil
		})
	}
	return workers.Wait()
}

func syncBlobs(blobs []zodb.StagedBlob) error {
	return eachBlob(blobs, zodb.StagedBlob.Sync)
}

// publishBlobs gives the blobs their final names, durably.
func publishBlobs(blobs []zodb.StagedBlob) error {
	if err := eachBlob(blobs, zodb.StagedBlob.Publish); err != nil {
		return err
	}
	return eachBlob(blobs, zodb.StagedBlob.SyncDir)
}

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

// settle makes g durable and visible. An error, on whatever step, is the end of writing: transactions of later groups
// are in the file already and build on g.
func (s *Storage) settle(g *group) error {
	err := s.prepare(g)
	if err == nil {
		err = publishBlobs(g.blobs)
	}
	if err == nil {
		err = s.flip(g)
	}
	if err != nil {
		return s.fail(err)
	}
	s.show(g)
	return nil
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

// join adds t to the forming group, or makes it the first of one. seal completes t in the file with the status given.
func (q *queue) join(t *Txn, seal func(zodb.Status) error) (*group, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed != nil {
		return nil, q.failed
	}
	g, status := q.forming, t.header.Status
	if g == nil {
		g, status = &group{}, zodb.StatusCheckpoint
	}
	if err := seal(status); err != nil {
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
