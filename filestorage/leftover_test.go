package filestorage

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// refuse lets operations fail until the disk is healed.
func refuse(st *stage, kind simdisk.Kind, path string) {
	st.disk.FailWhen(func(op simdisk.Op) error {
		if op.Kind == kind && strings.HasPrefix(op.Path, path) {
			return syscall.EACCES
		}
		return nil
	})
}

// checkLeft checks that the storage serves, says that work is left, and does it once it can.
func checkLeft(t *testing.T, st *stage, want string) {
	t.Helper()
	if st.err != nil {
		t.Fatal(st.err)
	}
	since, why := st.s.Leftovers()
	if why == nil || since.IsZero() || !strings.Contains(why.Error(), want) {
		t.Errorf("left since %v: %v, want %q", since, why, want)
	}
	st.commit(2, "life goes on", "")
	st.s.tryLeft(t.Context())
	if at, again := st.s.Leftovers(); again == nil || !at.Equal(since) {
		t.Errorf("after another attempt: %v since %v", again, at)
	}
	st.disk.Heal()
	st.s.tryLeft(t.Context())
	if _, why := st.s.Leftovers(); why != nil || st.err != nil {
		t.Errorf("after the disk was well: %v, %v", why, st.err)
	}
}

// A blob that a pack cannot remove is reported and removed later; the pack says that the file is packed, and the
// storage opens, too.
func TestWhatAPackLeavesIsInNobodysWay(t *testing.T) {
	for _, again := range []bool{false, true} {
		st := newStage(t, story{prepare: packable})
		refuse(st, simdisk.Remove, "db/blobs/0x00")
		r, err := st.s.Pack(t.Context(), 10000, PackOptions{GC: true, References: toyReferences})
		if !r.Packed || err == nil {
			t.Errorf("packed %v, %v", r.Packed, err)
		}
		if again {
			st.close()
			st.open()
		}
		checkLeft(t, st, "could not be removed from db/blobs")
		checkNoStrayBlobs(t, "in the end", st.s)
		st.end()
	}
}

// A plan that cannot be read keeps nobody from opening the storage, and is told with what to do about it.
func TestAPlanThatIsNoneKeepsNobodyFromOpening(t *testing.T) {
	st := newStage(t, story{prepare: packable})
	st.close()
	f, err := st.disk.OpenFile("db/blobs/.removed.zrsd", 0o1|0o100, 0o666) // write, create
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("something else\n"), 0); err != nil {
		t.Fatal(err)
	}
	st.open()
	if _, why := st.s.Leftovers(); why == nil || !strings.Contains(why.Error(), "remove it") {
		t.Errorf("left: %v", why)
	}
	before := contents(t, st.s)
	for _, keepOld := range []bool{true, false} {
		r, err := st.s.Pack(t.Context(), 10000, PackOptions{KeepOld: keepOld})
		if r.Packed || err == nil || !slices.Equal(before, contents(t, st.s)) {
			t.Errorf("keep old %v: packed %v, %v", keepOld, r.Packed, err)
		}
	}
	if err := st.disk.Remove("db/blobs/.removed.zrsd"); err != nil {
		t.Fatal(err)
	}
	st.s.tryLeft(t.Context())
	if _, why := st.s.Leftovers(); why != nil {
		t.Errorf("after it was removed: %v", why)
	}
	st.end()
}

// The blob of a transaction that a recovery cuts off stays where it cannot be moved, and the storage opens.
func TestALostBlobThatCannotBeSetAsideIsInNobodysWay(t *testing.T) {
	st := newStage(t, story{prepare: interrupted3})
	refuse(st, simdisk.Rename, "db/blobs/0x00")
	st.open()
	checkLeft(t, st, "is still in the blob directory")
	if _, err := st.disk.Stat("db/blobs/.tr0"); err != nil {
		t.Errorf("the blob is not set aside: %v", err)
	}
	checkNoStrayBlobs(t, "in the end", st.s)
	st.end()
}

// A lost transaction that comes again, as to a secondary, has its blob: what was to be set aside is not taken from it.
func TestALostBlobThatComesAgainIsKept(t *testing.T) {
	st := newStage(t, story{prepare: interrupted3})
	refuse(st, simdisk.Rename, "db/blobs/0x00")
	st.open()
	st.disk.Heal()
	if st.err != nil {
		t.Fatal(st.err)
	}
	lost := st.s.left.aside[0]
	txn, err := st.s.Begin(t.Context(), &zodb.TxnMeta{Tid: lost.tid})
	if err == nil {
		err = txn.Restore(&zodb.Record{Oid: lost.oid, Tid: lost.tid, Size: int64(len(withBlob)),
			Data: strings.NewReader(withBlob), Blob: strings.NewReader("again"), BlobSize: 5})
	}
	if err == nil {
		_, err = txn.Finish(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	st.s.tryLeft(t.Context())
	if _, why := st.s.Leftovers(); why != nil {
		t.Errorf("left: %v", why)
	}
	f, err := st.s.OpenBlob(lost.oid, lost.tid)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	st.end()
}

// A pack whose ways are not open is refused before anything is changed, with what to do.
func TestAPackThatCannotKeepTheOldIsRefusedBeforehand(t *testing.T) {
	for _, way := range []string{"db/Data.fs", "db/blobs/.removed.zrsd.try"} {
		st := newStage(t, story{prepare: packable})
		before, ops := contents(t, st.s), 0
		refuse(st, simdisk.Link, way)
		r, err := st.s.Pack(t.Context(), 10000, PackOptions{GC: true, KeepOld: true, References: toyReferences})
		if r.Packed || err == nil || !strings.Contains(err.Error(), "nothing was changed") ||
			!strings.Contains(err.Error(), "--no-keep-old") || !slices.Equal(before, contents(t, st.s)) {
			t.Errorf("%s: packed %v, %v", way, r.Packed, err)
		}
		for _, op := range st.disk.Ops() {
			if op.Path == "db/Data.fs.pack" {
				ops++
			}
		}
		if ops > 0 {
			t.Errorf("%s: the pack had begun to write", way)
		}
		mustPack(t, st.s, 10000, PackOptions{GC: true, References: toyReferences})
		checkNoStrayBlobs(t, way, st.s)
		st.end()
	}
}

// A guardedLog may be read while it is written.
type guardedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *guardedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *guardedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// pass lets time pass in a bubble of synctest.
func pass(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the clock of the bubble

// Work that is left is tried again every minute, by one goroutine, until it is done or the storage is closed. Its
// reason is told at once, once an hour while it stays the same, and so is that it is done.
func TestWhatIsLeftIsTriedAgainUntilItIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, story{prepare: packable})
		var log guardedLog
		st.s.left.log = hclog.New(&hclog.LoggerOptions{Output: &log})
		told := func(what string, n int, text string) {
			t.Helper()
			synctest.Wait()
			if got := strings.Count(log.String(), text); got != n {
				t.Errorf("%s: %q is told %d times, want %d", what, text, got, n)
			}
		}
		const cannot, done = "cannot finish the cleanup", "finished the cleanup"
		var tries atomic.Int32
		st.disk.FailWhen(func(op simdisk.Op) error {
			if op.Kind == simdisk.Remove && strings.HasPrefix(op.Path, "db/blobs/0x00") {
				tries.Add(1)
				return syscall.EACCES
			}
			return nil
		})
		r, err := st.s.Pack(t.Context(), 10000, PackOptions{GC: true, References: toyReferences})
		if !r.Packed || err == nil {
			t.Fatalf("packed %v, %v", r.Packed, err)
		}
		told("at first", 1, cannot)
		_, why := st.s.Leftovers()
		st.s.leave(why) // again, and it is tried as often
		told("as it is left again", 1, cannot)
		once := tries.Load()
		pass(leftPause + time.Second)
		synctest.Wait()
		if tries.Load() != 2*once {
			t.Errorf("%d attempts at %d removals in a minute", tries.Load(), once)
		}
		told("as an attempt fails, in its words", 2, cannot)
		pass(leftTold - 2*leftPause)
		told("for almost an hour", 2, cannot)
		pass(2 * leftPause)
		told("after an hour", 3, cannot)
		st.disk.Heal()
		pass(leftPause)
		told("at the end", 1, done)
		if _, why = st.s.Leftovers(); why != nil {
			t.Errorf("left: %v", why)
		}
		if pass(3 * leftPause); st.s.left.tended {
			t.Error("it is still tried")
		}
		told("when all is done", 1, done)
		st.s.leave(nil) // nothing is left, and nothing was
		told("when all is done", 1, done)
		st.s.leave(errChanged)
		told("something else", 4, cannot)
		st.end() // which ends the attempts
	})
}

// Where a storage is being closed nobody begins to try again.
func TestNothingIsTriedAgainAfterTheEnd(t *testing.T) {
	s := emptyStorage(t, Options{})
	s.left.end()
	if s.leave(errChanged); s.left.tended {
		t.Error("it is tried again")
	}
}

// Of several blobs that could not be set aside those stay to be tried again that still cannot, and the first reason is
// told.
func TestBlobsThatCannotBeSetAsideAreTriedAgain(t *testing.T) {
	d := newDataFile()
	d.fill(3, 3, 10)
	d.add(8, 'c', a5(1), a5(2))
	dir := t.TempDir()
	path := filepath.Join(dir, "Data.fs")
	if err := os.WriteFile(path, d.bytes, 0o666); err != nil {
		t.Fatal(err)
	}
	blobs := &asiding{Store: openBlobs(t, filepath.Join(dir, "blobs")), fail: syscall.EACCES}
	s := mustOpen(t, path, Options{Blobs: blobs})
	for range 2 {
		if _, why := s.Leftovers(); why == nil || !strings.Contains(why.Error(), "2 blobs") ||
			!errors.Is(why, syscall.EACCES) {
			t.Errorf("left: %v", why)
		}
		s.tryLeft(t.Context())
	}
	blobs.fail = nil
	good, _ := s.index.get(1)
	s.index.set(1, good+1) // whether the transaction has come again cannot be read
	before := len(blobs.aside)
	s.tryLeft(t.Context())
	if _, why := s.Leftovers(); why == nil || !strings.Contains(why.Error(), "1 blob ") ||
		!slices.Equal(blobs.aside[before:], []revisionID{{2, 8}}) {
		t.Errorf("left: %v, set aside %v", why, blobs.aside[before:])
	}
	s.index.set(1, good)
	s.tryLeft(t.Context())
	if _, why := s.Leftovers(); why != nil || len(blobs.aside) != before+2 {
		t.Errorf("left: %v, tried %v", why, blobs.aside)
	}
	s.tryLeft(t.Context())
	if len(blobs.aside) != before+2 {
		t.Errorf("tried again: %v", blobs.aside)
	}
}

// What an earlier pack has left becomes a part of the work of a later one, unless that is to keep the old state.
func TestAPackTakesOverWhatAnEarlierOneHasLeft(t *testing.T) {
	for _, keepOld := range []bool{false, true} {
		st := newStage(t, story{prepare: packable})
		refuse(st, simdisk.Remove, "db/blobs/0x00")
		if r, err := st.s.Pack(t.Context(), 10000, toyOptions()); !r.Packed || err == nil {
			t.Fatalf("packed %v, %v", r.Packed, err)
		}
		st.commit(2, "goes on", "")
		st.commit(2, "and on", "")
		opt := toyOptions()
		opt.KeepOld = keepOld
		r, err := st.s.Pack(t.Context(), st.s.LastTid(), opt)
		if r.Packed == keepOld || strings.Contains(err.Error(), "finish the earlier pack first") != keepOld {
			t.Errorf("keep old %v: packed %v, %v", keepOld, r.Packed, err)
		}
		checkLeft(t, st, "permission denied")
		checkNoStrayBlobs(t, "after both", st.s)
		st.end()
	}
}

// A disk that cannot look for the new file of a pack.
type blindDisk struct{ *simdisk.Disk }

func (d blindDisk) Stat(path string) (fs.FileInfo, error) {
	if path == crashPath+packSuffix {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: syscall.EIO}
	}
	return d.Disk.Stat(path)
}

// Where nobody knows whether a pack was interrupted before its new file had its name, its plan is not carried out.
func TestAPlanWaitsUntilItIsCertainThatThePackIsDone(t *testing.T) {
	st := newStage(t, story{prepare: packable})
	refuse(st, simdisk.Remove, "db/blobs/0x00")
	if r, err := st.s.Pack(t.Context(), 10000, toyOptions()); !r.Packed || err == nil {
		t.Fatalf("packed %v, %v", r.Packed, err)
	}
	st.close()
	st.disk.Heal()
	opt := st.options()
	opt.FS = blindDisk{st.disk}
	s, err := Open(t.Context(), crashPath, opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, why := s.Leftovers(); !errors.Is(why, syscall.EIO) {
		t.Errorf("left is %v", why)
	}
	if _, err := st.disk.Stat("db/blobs/.removed.zrsd"); err != nil {
		t.Errorf("the plan: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
