package filestorage

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A heldDisk is one whose syncs say that they have begun, and wait then, while there is somebody to hear it.
type heldDisk struct {
	vfs.FS
	syncs atomic.Pointer[chan chan error]
}

func (d *heldDisk) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	return heldFile{f, d}, err
}

type heldFile struct {
	vfs.File
	d *heldDisk
}

func (f heldFile) Sync() error {
	if syncs := f.d.syncs.Load(); syncs != nil {
		goOn := make(chan error)
		*syncs <- goOn
		if err := <-goOn; err != nil {
			return err
		}
	}
	return f.File.Sync()
}

func openHeld(t *testing.T) (*Storage, *heldDisk, chan chan error) {
	t.Helper()
	disk := &heldDisk{FS: simdisk.New()}
	s, err := Open(t.Context(), "Data.fs", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	syncs := make(chan chan error)
	disk.syncs.Store(&syncs)
	return s, disk, syncs
}

// completed is a transaction that has stored an object and is complete.
func completed(t *testing.T, s *Storage, oid zodb.Oid) *Txn {
	t.Helper()
	txn, err := s.BeginNow(&zodb.TxnMeta{})
	if err != nil || txn == nil {
		t.Fatalf("begin: %v, %v", txn, err)
	}
	if err := errors.Join(txn.Store(oid, 0, []byte("data")), txn.Complete()); err != nil {
		t.Fatal(err)
	}
	return txn
}

func here(t *testing.T, txn *Txn) *Commit {
	t.Helper()
	c, err := txn.EnqueueHere(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// settle lets the syncer commit the group of c while the test goes on.
func settle(c *Commit) { go c.Finalize() }

// Where nothing else is on its way to the disk a committer commits its own group; what comes meanwhile is the syncer's.
func TestACommitterCommitsItsOwnGroupAndLeavesTheOthersToTheSyncer(t *testing.T) {
	s, disk, syncs := openHeld(t)
	a := here(t, completed(t, s, 1))
	if !a.Leads() {
		t.Fatal("nobody else is there, and it does not lead")
	}
	settle(a)
	records := <-syncs
	b, c := here(t, completed(t, s, 2)), here(t, completed(t, s, 3))
	if b.Leads() || c.Leads() || b.group != c.group || b.group == a.group {
		t.Error("those that came while it waits for the disk are not a group of their own, for the syncer")
	}
	disk.syncs.Store(nil)
	close(records)
	for _, commit := range []*Commit{a, b, c} {
		<-commit.Done()
		if err := commit.Err(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestASlowDiskIsLeftToTheSyncer(t *testing.T) {
	s, disk, _ := openHeld(t)
	disk.syncs.Store(nil)
	for range 20 {
		s.queue.took(time.Second)
	}
	txn := completed(t, s, 1)
	if txn.SyncAhead() != nil {
		t.Error("it is to be synced ahead")
	}
	c := here(t, txn)
	if c.Leads() {
		t.Error("the committer is to wait for it")
	}
	<-c.Done()
	for range 40 {
		s.queue.took(0)
	}
	if c := here(t, completed(t, s, 2)); !c.Leads() {
		t.Error("the disk is quick again, and the committer is not to wait for it")
	} else {
		c.Finalize()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Close waits for a committer that settles, and for what has come meanwhile.
func TestCloseWaitsForWhoeverSettles(t *testing.T) {
	s, disk, syncs := openHeld(t)
	a := here(t, completed(t, s, 1))
	settle(a)
	records := <-syncs
	b := here(t, completed(t, s, 2))
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	<-s.closed
	disk.syncs.Store(nil)
	close(records)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	for _, commit := range []*Commit{a, b} {
		select {
		case <-commit.Done():
		default:
			t.Fatal("closed before everything was settled")
		}
		if err := commit.Err(); err != nil {
			t.Error(err)
		}
	}
}

// What is synced ahead needs one sync more, that of the status.
func TestASyncAheadSavesOneLater(t *testing.T) {
	s, disk, syncs := openHeld(t)
	txn := completed(t, s, 1)
	sync := txn.SyncAhead()
	if sync == nil {
		t.Fatal("it is not to be synced ahead")
	}
	synced := make(chan error)
	go func() { synced <- sync() }()
	close(<-syncs)
	if err := <-synced; err != nil {
		t.Fatal(err)
	}
	if s.LastTid() != 0 {
		t.Error("it is visible before it is finished")
	}
	c := here(t, txn)
	settle(c)
	close(<-syncs)
	<-c.Done() // and no other sync came
	if err := c.Err(); err != nil || s.LastTid() != txn.Tid() {
		t.Errorf("last %v, want %v: %v", s.LastTid(), txn.Tid(), err)
	}
	disk.syncs.Store(nil)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNothingIsSyncedAheadWhereOthersWait(t *testing.T) {
	s, disk, _ := openHeld(t)
	disk.syncs.Store(nil)
	txn := completed(t, s, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := s.Begin(ctx, &zodb.TxnMeta{}); err == nil {
			t.Error("a second transaction began")
		}
	}()
	for s.waiting.Load() == 0 {
		runtime.Gosched()
	}
	if txn.SyncAhead() != nil {
		t.Error("the next one waits for the lock, and this one for the disk, ahead of its finish")
	}
	cancel()
	<-ended
	sync := txn.SyncAhead()
	if sync == nil {
		t.Fatal("nobody waits any more")
	}
	if err := errors.Join(sync(), txn.Abort(), s.Close()); err != nil {
		t.Error(err)
	}
}

// Where others wait for the commit lock, they would be in one group: the syncer, which comes a little later, has it.
func TestNobodyCommitsItsOwnGroupWhereOthersWait(t *testing.T) {
	s, disk, _ := openHeld(t)
	disk.syncs.Store(nil)
	txn := completed(t, s, 1)
	began := make(chan *Txn)
	go func() {
		next, err := s.Begin(t.Context(), &zodb.TxnMeta{})
		if err != nil {
			t.Error(err)
		}
		began <- next
	}()
	for s.waiting.Load() == 0 {
		runtime.Gosched()
	}
	c := here(t, txn)
	if c.Leads() {
		t.Error("it leads, and another one waits for the lock")
	}
	next := <-began
	<-c.Done()
	if err := errors.Join(c.Err(), next.Abort(), s.Close()); err != nil {
		t.Error(err)
	}
}

// A transaction may be finished or aborted, by another goroutine, while it is synced ahead.
func TestATransactionEndsWhileItIsSyncedAhead(t *testing.T) {
	for _, finish := range []bool{true, false} {
		s, disk, syncs := openHeld(t)
		txn := completed(t, s, 1)
		synced := make(chan error)
		go func(sync func() error) { synced <- sync() }(txn.SyncAhead())
		held := <-syncs
		var c *Commit
		if finish {
			if c = here(t, txn); c.Leads() {
				t.Error("two are at the disk")
			}
		} else if err := txn.Abort(); err != nil {
			t.Error(err)
		}
		next := here(t, completed(t, s, 2))
		disk.syncs.Store(nil)
		close(held)
		if err := <-synced; err != nil {
			t.Error(err)
		}
		for _, c := range []*Commit{c, next} {
			if c == nil {
				continue
			}
			<-c.Done()
			if err := c.Err(); err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A sync ahead that fails is as fatal as any other, and nothing of the transaction was committed.
func TestASyncAheadThatFailsEndsWriting(t *testing.T) {
	broken := errors.New("broken disk")
	s, disk, syncs := openHeld(t)
	txn := completed(t, s, 1)
	synced := make(chan error)
	go func(sync func() error) { synced <- sync() }(txn.SyncAhead())
	(<-syncs) <- broken
	disk.syncs.Store(nil)
	var failed *FailedError
	if err := <-synced; !errors.As(err, &failed) || !errors.Is(err, broken) {
		t.Errorf("the sync: %v", err)
	}
	if _, err := txn.EnqueueHere(t.Context()); !errors.As(err, &failed) {
		t.Errorf("the commit: %v", err)
	}
	_ = txn.Abort() // may fail as the storage has
	if _, err := s.Begin(t.Context(), &zodb.TxnMeta{}); !errors.As(err, &failed) {
		t.Errorf("the next begin: %v", err)
	}
	_ = s.Close() // as above
	again, err := Open(t.Context(), "Data.fs", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	if last := again.LastTid(); last != 0 {
		t.Errorf("%v was committed", last)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
