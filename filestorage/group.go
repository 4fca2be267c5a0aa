package filestorage

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/internal/histogram"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A group is a run of adjacent transactions that become durable and visible together. In the file its first one has
// status 'c' until all of it, blobs included, is durable; the others have their final status from the start.
type group struct {
	start   int64       // offset of the first transaction
	status  zodb.Status // what its 'c' becomes
	end     int64
	n       int // how many
	last    zodb.Tid
	entries []entry           // records in file order, those of undone transactions left out
	newest  offsetTable       // of an appended group, the entries by oid; empty in others
	told    []Invalidation    // its transactions; nil once one of them has no Tell
	blobs   []zodb.StagedBlob // each with syncs of its own
	many    manyBlobs
	here    bool  // it is settled by a committer
	synced  bool  // blobs and records are durable already
	weight  int64 // see Txn.weight
	done    chan struct{}
	err     error // set before done is closed
}

// add appends a transaction that is complete in the file.
func (g *group) add(t *Txn) {
	first := g.done == nil
	if first {
		g.start, g.status, g.done = t.start, t.header.Status, make(chan struct{})
	}
	g.synced = first && t.ahead
	switch {
	case !t.tell:
		g.told = nil
	case first || g.told != nil:
		g.told = append(g.told, Invalidation{Tid: t.header.Tid, Oids: t.changed()})
	}
	g.end, g.last = t.s.writer.out.pos(), t.header.Tid
	g.n++
	g.entries = append(g.entries, t.entries...)
	g.blobs = append(g.blobs, t.blobs...)
	g.weight += t.weight()
}

// A Commit is a transaction that is being made durable.
type Commit struct {
	group *group
	s     *Storage // not nil: the group is this one's to settle
}

// Done is closed when the transaction is durable and visible, or failed.
func (c *Commit) Done() <-chan struct{} { return c.group.done }

// Err returns, after Done, nil when the transaction is durable and visible, and otherwise a *FailedError.
func (c *Commit) Err() error { return c.group.err }

// Leads reports whether Settle has something to do.
func (c *Commit) Leads() bool { return c.s != nil }

// Finalize makes the transaction durable and visible, unless another goroutine does. It must be called after
// EnqueueHere, at once.
func (c *Commit) Finalize() {
	if c.s != nil {
		c.s.finalizeNext(c.group)
	}
}

// prepare makes the content of g's blobs and its transactions durable. It leaves open whether they become final.
func (s *Storage) prepare(g *group) error {
	if g.synced {
		return nil
	}
	s.waits.disk.Waits(waitSync)
	if err := errors.Join(syncBlobs(g.blobs), g.many.sync()); err != nil {
		return err
	}
	if err := s.syncData(s.file); err != nil {
		return s.fail(fmt.Errorf("sync: %w", err))
	}
	return nil
}

// finalizeGroup makes the transactions of g final, durably. From here on there is no way back.
func (s *Storage) finalizeGroup(g *group) error {
	s.waits.disk.Waits(waitStatus)
	if _, err := s.file.WriteAt([]byte{byte(g.status)}, g.start+statusAt); err != nil {
		return s.fail(fmt.Errorf("write the status at %d: %w", g.start+statusAt, err))
	}
	if err := s.syncData(s.file); err != nil {
		return s.fail(errors.Join(fmt.Errorf("sync the status at %d: %w", g.start+statusAt, err), s.unflip(g)))
	}
	return nil
}

// syncData is vfs.SyncData of the data file, measured.
func (s *Storage) syncData(file vfs.File) error {
	begun := time.Now()
	err := vfs.SyncData(file)
	s.syncTimes.Observe(time.Since(begun))
	return err
}

// SyncTimes returns how long syncs of the data file have taken, since it was opened.
func (s *Storage) SyncTimes() histogram.Snapshot { return s.syncTimes.Snapshot() }

// LockTimes returns how long transactions have waited for the commit lock, since the storage was opened.
func (s *Storage) LockTimes() histogram.Snapshot { return s.lockTimes.Snapshot() }

// publishGroup makes the transactions of g visible, and informs the watchers.
func (s *Storage) publishGroup(g *group) {
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	s.view.Lock()
	for _, e := range g.entries {
		s.index.set(e.oid, e.pos)
	}
	s.advance(g.end, g.last)
	s.view.Unlock()
	s.waits.disk.Waits(waitTold)
	for _, w := range s.watchers.all {
		w.told(g.told, g.here)
	}
	s.indexSaver.moved(s, g.end)
	s.room.found()
}

// commitGroup makes g durable and visible. An error, on whatever step, is the end of writing: transactions of later
// groups are in the file already and build on g.
func (s *Storage) commitGroup(g *group) error {
	defer s.waits.disk.Done()
	err := s.prepare(g)
	if err == nil {
		err = s.checkPath()
	}
	if err == nil {
		s.waits.disk.Waits(waitNames)
		err = errors.Join(publishBlobs(g.blobs), g.many.publish())
	}
	if err == nil {
		err = s.finalizeGroup(g)
	}
	if err != nil {
		return s.fail(err)
	}
	s.publishGroup(g)
	tellBlobs(g.blobs)
	tellBlobs(g.many.blobs)
	return nil
}

// tellBlobs tells blobs that their transactions are durable, as far as they want to know.
func tellBlobs(blobs []zodb.StagedBlob) {
	for _, b := range blobs {
		if told, ok := b.(interface{ Committed() }); ok {
			told.Committed()
		}
	}
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
		workers.Go(func() error { return f(b) })
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
