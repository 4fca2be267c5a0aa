package filestorage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// The name of the new file is durable before anybody can commit into it: a power failure must not bring the old file
// back, without what was acknowledged since. The saved index of the old one is durably gone before.
func TestTheNewFileHasItsNameBeforeAnybodyCommits(t *testing.T) {
	st := newStage(t, story{prepare: packable})
	st.close()
	st.open()
	committed, renamed, removed, gone := false, false, false, false
	st.disk.FailWhen(func(op simdisk.Op) error {
		switch {
		case op.Kind == simdisk.Rename && op.Path == crashPath+packSuffix:
			renamed = true
		case op.Kind == simdisk.Remove && op.Path == crashPath+indexSuffix:
			removed = true
		case removed && !gone && op.Kind == simdisk.SyncDir:
			gone = !renamed
		case renamed && op.Kind == simdisk.SyncDir:
			renamed = false
			committed = len(st.s.commit) == 0
		}
		return nil
	})
	r := mustPack(t, st.s, 10000, PackOptions{GC: true, References: toyReferences})
	if renamed || committed || !r.Packed {
		t.Errorf("packed %v; the folder was not synced with the commit lock held: %v", r.Packed, committed || renamed)
	}
	if !gone {
		t.Error("the index of the old file may still be there when the new one has its name")
	}
	if r.Pause <= 0 {
		t.Errorf("a pause of %v", r.Pause)
	}
	st.end()
}

// A pack that fails when everything is prepared leaves the old file as it was before, its index and blobs included,
// also without another start; one that succeeds leaves its own.
func TestAPackThatFailsLateLeavesNothing(t *testing.T) {
	for _, keepOld := range []bool{true, false} {
		st := newStage(t, story{prepare: packable})
		st.close()
		st.open()
		old := contents(t, st.s)
		size := st.s.Size()
		st.disk.FailWhen(func(op simdisk.Op) error {
			if op.Kind == simdisk.Rename && op.Path == crashPath+packSuffix {
				return syscall.EACCES
			}
			return nil
		})
		opt := PackOptions{GC: true, KeepOld: keepOld, References: toyReferences}
		if r, err := st.s.Pack(t.Context(), 10000, opt); r.Packed || !errors.Is(err, syscall.EACCES) {
			t.Errorf("packed %v, %v", r.Packed, err)
		}
		st.disk.Heal()
		if !slices.Equal(old, contents(t, st.s)) {
			t.Error("something was changed")
		}
		for _, name := range []string{
			"Data.fs.pack", "Data.fs.old", "Data.fs.old.try", "blobs/.removed.zrsd", "blobs.old",
		} {
			if _, err := st.disk.Stat("db/" + name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("keep old %v: there is %s, %v", keepOld, name, err)
			}
		}
		if _, pos, err := loadIndex(st.disk, crashPath+indexSuffix); pos != size || err != nil {
			t.Errorf("the index is of %d, %v; want %d", pos, err, size)
		}
		var phases []string
		opt.Progress = func(p PackProgress) {
			if p.Done == p.Total && !slices.Contains(phases, p.Phase) {
				phases = append(phases, p.Phase)
			}
		}
		r := mustPack(t, st.s, 10000, opt)
		if _, pos, err := loadIndex(st.disk, crashPath+indexSuffix); pos != r.After || err != nil ||
			st.s.indexSaver.saved != r.After {
			t.Errorf("the new index is of %d, %v; want %d", pos, err, r.After)
		}
		if st.s.indexSaver.paused {
			t.Error("the index is not saved any more")
		}
		if !slices.Contains(phases, packBlobs) {
			t.Errorf("keep old %v: only %v came to an end", keepOld, phases)
		}
		st.end()
	}
}

// What is committed while a pack is under way is the same after it: data, deletions, and undos that point back to what
// the pack has kept or dropped, to what came before the first copy that is longer than its original, and to what came
// after it.
func TestWhatIsCommittedDuringAPackIsTheSameAfterIt(t *testing.T) {
	s := emptyStorage(t, Options{})
	commit(t, s, 0, 0, "root|1|2|3|4|5")
	oldest := commit(t, s, 1, 0, "oldest")
	older := commit(t, s, 1, oldest, "older")
	for oid := zodb.Oid(2); oid < 6; oid++ {
		commit(t, s, oid, 0, "base")
	}
	stop := commit(t, s, 1, older, "current")
	before := commit(t, s, 2, s.mustTid(t, 2), "before the pack")
	again := commit(t, s, 2, before, "and another")
	var want []string
	opt := toyOptions()
	opt.Progress = func(p PackProgress) {
		if p.Phase != packCopy || want != nil {
			return
		}
		early := commit(t, s, 3, s.mustTid(t, 3), "before the longer copy")
		earlier := commit(t, s, 3, early, "and another")
		mustUndo(t, s, stop) // of what the pack drops: its copy has the data
		late := commit(t, s, 4, s.mustTid(t, 4), "after the longer copy")
		later := commit(t, s, 4, late, "and another")
		mustUndo(t, s, later)
		mustUndo(t, s, earlier)
		mustUndo(t, s, again)
		txn := mustBegin(t, s, &zodb.TxnMeta{})
		if err := txn.Delete(5, s.mustTid(t, 5)); err != nil {
			t.Error(err)
		}
		mustFinish(t, txn)
		want = contents(t, s)
	}
	if r := mustPack(t, s, stop, opt); !r.Packed {
		t.Fatal("not packed")
	}
	n := slices.IndexFunc(want, func(line string) bool {
		return strings.HasPrefix(line, "tid "+fmt.Sprint(uint64(before))+" ")
	})
	for range 2 {
		got := contents(t, s)
		if tail := want[n:]; len(got) < len(tail) || !slices.Equal(got[len(got)-len(tail):], tail) {
			t.Errorf("after the pack:\n%s\nwant\n%s", lines(got), lines(tail))
		}
		expectState(t, s, 1, "older")
		expectState(t, s, 2, "before the pack")
		expectState(t, s, 3, "before the longer copy")
		expectState(t, s, 4, "after the longer copy")
		expectState(t, s, 5, "")
		checkIndexAgainstFile(t, "packed", s)
		s = reopen(t, s)
	}
}

// Transactions that count as absent are copied, and stay so.
func TestAnUndoneTransactionAfterThePackTimeStaysAbsent(t *testing.T) {
	d := newDataFile()
	d.fill(6, 3, 10)
	stop := d.last
	d.add(20, 'u', a5(1))
	d.add(21, ' ', a5(2))
	s := d.storage(t)
	if r := mustPack(t, s, stop, PackOptions{}); !r.Packed {
		t.Fatal("not packed")
	}
	if _, tid, err := s.Load(1); err != nil || tid == 20 {
		t.Errorf("oid 1 is of %v, %v", tid, err)
	}
	checkIndexAgainstFile(t, "packed", s)
}

// A blob is needed as long as there is a record of its revision, whichever it is.
func TestEveryRevisionThatIsThereNeedsItsBlob(t *testing.T) {
	s := emptyStorage(t, Options{})
	first := commit(t, s, 1, 0, "first")
	second := commit(t, s, 1, first, "second")
	third := commit(t, s, 1, second, "third")
	other := commit(t, s, 2, 0, "other")
	for tid, want := range map[zodb.Tid]bool{
		first - 1: false, first: true, first + 1: false, second: true, third: true, other: false,
	} {
		if got, err := s.hasRevision(1, tid); got != want || err != nil {
			t.Errorf("revision %v: %v, %v", tid, got, err)
		}
	}
	if got, err := s.hasRevision(3, first); got || err != nil {
		t.Errorf("an object that is not there: %v, %v", got, err)
	}
}

// A planning blob directory notes what is to be removed.
type planning struct {
	*blobstore.Store
	plan []revisionID
}

func (b *planning) PlanRemoval(revisions iter.Seq2[zodb.Oid, zodb.Tid], keepOld bool) error {
	for oid, tid := range revisions {
		b.plan = append(b.plan, revisionID{oid, tid})
	}
	return b.Store.PlanRemoval(revisions, keepOld)
}

// The blobs of all revisions that a pack drops are removed, also of those that point back to the data of another one,
// and no other blob is.
func TestAPackRemovesTheBlobsOfWhatItDrops(t *testing.T) {
	blob := []byte(withBlob)
	d := newDataFile()
	first := d.add(2, ' ', written{oid: 1, data: blob})[0]
	plain := d.add(4, ' ', a5(1))[0]
	d.add(6, ' ', written{oid: 1, back: first})
	d.add(8, ' ', written{oid: 1, back: plain})
	d.add(10, ' ', written{oid: 1})
	d.add(12, ' ', written{oid: 1, data: blob})
	d.add(14, ' ', written{oid: 2, data: blob}, written{oid: 2, data: blob})
	d.add(16, ' ', written{oid: 3, data: blob[:10]})
	d.add(18, ' ', written{oid: 3, data: blob})
	d.add(20, ' ', written{oid: 4, data: blob}, written{oid: 5, data: blob}, written{oid: 4, data: blob}) // one blob
	d.add(22, ' ', written{oid: 4, data: blob}, written{oid: 5, data: blob})
	dir := t.TempDir()
	path := filepath.Join(dir, "Data.fs")
	if err := os.WriteFile(path, d.bytes, 0o666); err != nil {
		t.Fatal(err)
	}
	blobs := &planning{Store: openBlobs(t, filepath.Join(dir, "blobs"))}
	s := mustOpen(t, path, Options{Blobs: blobs})
	r := mustPack(t, s, 100, PackOptions{})
	if want := []revisionID{{1, 2}, {1, 6}, {4, 20}, {5, 20}}; !slices.Equal(blobs.plan, want) || r.Blobs != len(want) {
		t.Errorf("to be removed are %v, %d in the result; want %v", blobs.plan, r.Blobs, want)
	}
}

// A function that panics over a record fails the pack, and nothing else.
func TestAPackEndsWhereFindingReferencesPanics(t *testing.T) {
	s := toPack(t, Options{})
	before := mustRead(t, s.Path())
	fail := func([]byte, []zodb.Oid) ([]zodb.Oid, error) { panic("a record of another world") }
	_, err := s.Pack(t.Context(), forever, PackOptions{GC: true, References: fail})
	var record *RecordError
	if !errors.As(err, &record) || !strings.Contains(err.Error(), "another world") {
		t.Errorf("packed: %v", err)
	}
	if !bytes.Equal(before, mustRead(t, s.Path())) || exists(s.Path()+packSuffix) {
		t.Error("something was changed")
	}
	commit(t, s, 3, 0, "goes on")
}

// The file before the pack stays beside the new one, whoever opens that, and however often.
func TestTheOldFileIsKept(t *testing.T) {
	s := toPack(t, Options{})
	before := mustRead(t, s.Path())
	opt := toyOptions()
	opt.KeepOld = true
	mustPack(t, s, forever, opt)
	for range 2 {
		if got := mustRead(t, s.Path()+oldSuffix); !bytes.Equal(got, before) {
			t.Errorf("the old file has %d bytes, and had %d", len(got), len(before))
		}
		s = reopen(t, s)
	}
}

// A disk that fails one of the reads of the data file, the n-th.
type failingRead struct {
	*simdisk.Disk
	left int
}

func (d *failingRead) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.Disk.OpenFile(path, flag, perm)
	return failingReadFile{f, d}, err
}

type failingReadFile struct {
	vfs.File
	d *failingRead
}

func (f failingReadFile) ReadAt(b []byte, pos int64) (int, error) {
	if f.d.left--; f.d.left == 0 {
		return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: syscall.EIO}
	}
	return f.File.ReadAt(b, pos)
}

// Whichever read of a pack fails, there is the old file or the new one, whole, and the pack says which.
func TestAPackThatCannotReadLosesNothing(t *testing.T) {
	for n, failed := 1, true; failed && !t.Failed(); n++ {
		st := newStage(t, story{prepare: packable})
		st.close()
		disk := &failingRead{Disk: st.disk}
		opt := st.options()
		opt.FS = disk
		s, err := Open(t.Context(), crashPath, opt)
		if err != nil {
			t.Fatal(err)
		}
		old := contents(t, s)
		disk.left = n
		r, err := s.Pack(t.Context(), 10000, PackOptions{GC: true, References: toyReferences})
		failed = disk.left <= 0
		disk.left = 0
		found := contents(t, s)
		switch {
		case failed && !errors.Is(err, syscall.EIO), !failed && err != nil:
			t.Errorf("read %d fails, %v: %v", n, failed, err)
		case r.Packed == slices.Equal(old, found):
			t.Errorf("read %d: packed %v, and it has\n%s", n, r.Packed, lines(found))
		case !r.Packed && failed:
			mustPack(t, s, 10000, PackOptions{GC: true, References: toyReferences})
		}
		checkIndexAgainstFile(t, fmt.Sprintf("read %d", n), s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A transaction that was larger than the buffer has its length written afterwards. Where that fails the pack does.
func TestAPackThatCannotWriteALengthIsNone(t *testing.T) {
	st := newStage(t, story{prepare: packable})
	defer st.end()
	st.commit(2, strings.Repeat("large", 1<<20), "")
	old := contents(t, st.s)
	st.disk.FailWhen(func(op simdisk.Op) error {
		if op.Kind == simdisk.Write && op.Path == crashPath+packSuffix && op.Len == lengthLen {
			return syscall.EIO
		}
		return nil
	})
	if r, err := st.s.Pack(t.Context(), 10000, toyOptions()); r.Packed || !errors.Is(err, syscall.EIO) {
		t.Errorf("packed %v, %v", r.Packed, err)
	}
	st.disk.Heal()
	if !slices.Equal(old, contents(t, st.s)) {
		t.Error("something was changed")
	}
}

// A pack that drops nothing needs as much room as the file has, whatever its time is, and some more for who commits.
func TestHowMuchRoomAPackNeeds(t *testing.T) {
	st := newStage(t, story{prepare: start})
	defer st.end()
	var tids []zodb.Tid
	for oid := range zodb.Oid(4) {
		st.commit(oid, strings.Repeat("data", 1000), "")
		tids = append(tids, st.s.LastTid())
	}
	st.disk.SetCapacity(usedBytes(t, st.disk) + 1)
	size := st.s.Size()
	for _, stop := range tids[1:] {
		var space *SpaceError
		_, err := st.s.Pack(t.Context(), stop, PackOptions{})
		if want := size + size/16 + spareSpace; !errors.As(err, &space) || space.Need != want {
			t.Errorf("at %v: %v, want %d bytes", stop, err, want)
		}
	}
	st.disk.SetCapacity(0)
}
