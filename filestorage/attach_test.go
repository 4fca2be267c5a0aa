package filestorage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A pythonWriter does to a Data.fs what a Python process does, write by write.
type pythonWriter struct {
	t    *testing.T
	path string
	file *os.File
	d    *dataFile // what is finished
	next []byte    // the transaction in progress
}

func newPythonWriter(t *testing.T, transactions int) *pythonWriter {
	t.Helper()
	w := &pythonWriter{t: t, path: filepath.Join(t.TempDir(), "Data.fs"), d: newDataFile()}
	w.d.fill(transactions, 5, 30)
	w.check(os.WriteFile(w.path, w.d.bytes, 0o666))
	w.open()
	return w
}

func (w *pythonWriter) open() {
	var err error
	w.file, err = os.OpenFile(w.path, os.O_RDWR, 0)
	w.check(err)
	f := w.file
	w.t.Cleanup(func() { f.Close() })
}

func (w *pythonWriter) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *pythonWriter) write(b []byte, pos int64) {
	w.t.Helper()
	_, err := w.file.WriteAt(b, pos)
	w.check(err)
}

// vote writes the next transaction in steps, with status 'c', and calls between after each.
func (w *pythonWriter) vote(between func()) {
	w.t.Helper()
	all := *w.d
	all.bytes, all.x = slices.Clone(w.d.bytes), newIndex()
	all.add(w.d.last+2, zodb.StatusCheckpoint, written{oid: 1, data: bytes.Repeat([]byte("x"), 100)})
	end := len(w.d.bytes)
	w.next = all.bytes[end:]
	for _, cut := range [][2]int{{0, 10}, {10, 23}, {23, 60}, {60, len(w.next) - 8}, {len(w.next) - 8, len(w.next)}} {
		w.write(w.next[cut[0]:cut[1]], int64(end+cut[0]))
		between()
	}
}

// finish flips the status, and returns the tid.
func (w *pythonWriter) finish() zodb.Tid {
	w.t.Helper()
	end := int64(len(w.d.bytes))
	w.write([]byte{' '}, end+statusAt)
	w.next[statusAt] = ' '
	w.d.bytes = append(w.d.bytes, w.next...)
	w.d.last = zodb.Tid(binary.BigEndian.Uint64(w.next))
	w.d.tids, w.d.at = append(w.d.tids, w.d.last), append(w.d.at, end)
	return w.d.last
}

func (w *pythonWriter) commit() zodb.Tid {
	w.t.Helper()
	w.vote(func() {})
	return w.finish()
}

// abort cuts off what vote has written, as a restart does after a crash.
func (w *pythonWriter) abort() {
	w.t.Helper()
	w.check(w.file.Truncate(int64(len(w.d.bytes))))
}

// pack puts another file in place, as a pack does that keeps only the transactions from keep on, and calls between when
// there is no file at the path.
func (w *pythonWriter) pack(keep zodb.Tid, between func()) {
	w.t.Helper()
	packed := newDataFile()
	for _, tid := range w.d.tids {
		if tid >= keep {
			packed.add(tid, zodb.StatusPacked, written{oid: 1, data: []byte("packed")})
		}
	}
	w.check(os.WriteFile(w.path+".pack", packed.bytes, 0o666))
	w.check(os.Rename(w.path, w.path+".old"))
	between()
	w.check(os.Rename(w.path+".pack", w.path))
	w.d = packed
	w.open()
}

// overwrite puts other bytes into the same file, as cp does, in two steps.
func (w *pythonWriter) overwrite(d *dataFile, between func()) {
	w.t.Helper()
	w.check(w.file.Truncate(0))
	between()
	half := len(d.bytes) / 2
	w.write(d.bytes[:half], 0)
	between()
	w.write(d.bytes[half:], int64(half))
	w.d = d
}

// A follower is an Attached without a watcher: the test says when to look, and what time it is.
type follower struct {
	*Attached
	t    *testing.T
	time time.Time
}

func newFollower(t *testing.T, w *pythonWriter) *follower {
	t.Helper()
	f := &follower{t: t, time: time.Unix(1_700_000_000, 0)}
	f.Attached = newAttached(w.path, Options{Poll: time.Second, Now: func() time.Time { return f.time }})
	g, err := f.openGeneration(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.current, f.cancel = g, func() {}
	close(f.done)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// sees looks and expects last to be the last tid.
func (f *follower) sees(last zodb.Tid) {
	f.t.Helper()
	if err := f.look(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	if got := f.LastTid(); got != last {
		f.t.Fatalf("last tid is %v, want %v", got, last)
	}
}

func (f *follower) iterate(after zodb.Tid) zodb.Iterator {
	f.t.Helper()
	it, err := f.Iterate(after, true)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { it.Close() })
	return it
}

// expect reads the tids from the iterator.
func expectTids(t *testing.T, it zodb.Iterator, want ...zodb.Tid) {
	t.Helper()
	for _, tid := range want {
		txn, err := it.Next(t.Context())
		if err != nil {
			t.Fatalf("waiting for %v: %v", tid, err)
		}
		if _, err := zodb.DigestOf(txn); err != nil || txn.Meta().Tid != tid {
			t.Fatalf("tid %v, %v; want %v", txn.Meta().Tid, err, tid)
		}
	}
}

// A transaction is not seen at any step before its writer has finished it, and is seen then.
func TestAttachSeesOnlyFinished(t *testing.T) {
	w := newPythonWriter(t, 3)
	f := newFollower(t, w)
	it := f.iterate(0)
	expectTids(t, it, w.d.tids...)
	last := w.d.last
	for range 5 {
		w.vote(func() {
			f.sees(last)
			if it.Pending() {
				t.Fatal("an unfinished transaction is pending")
			}
		})
		last = w.finish()
		f.sees(last)
		expectTids(t, it, last)
	}
	if it.Pending() || it.Position() != f.Size() {
		t.Error("more is pending than was committed")
	}
}

// What an abort, or a restart after a crash, cuts off was never seen; what is written in its place is.
func TestAttachSurvivesTruncatedTail(t *testing.T) {
	w := newPythonWriter(t, 3)
	f := newFollower(t, w)
	last := w.d.last
	it := f.iterate(last)
	w.vote(func() { f.sees(last) })
	w.abort()
	f.sees(last)
	f.sees(w.commit())
	expectTids(t, it, w.d.last)
	w.vote(func() {})
	w.abort()
	last = w.commit()
	f.sees(last)
	expectTids(t, it, last)
}

// Attaching finds the end whatever is going on there: nothing, a transaction half written, or one that is voted.
func TestAttachFindsTheEnd(t *testing.T) {
	for _, transactions := range []int{0, 1, 3 * nearEnd} {
		w := newPythonWriter(t, transactions)
		want := int64(len(w.d.bytes))
		check := func() {
			f := newFollower(t, w)
			if f.Size() != want || f.LastTid() != w.d.last {
				t.Fatalf("attached at %d, last %v; want %d, %v", f.Size(), f.LastTid(), want, w.d.last)
			}
		}
		check()
		w.vote(check)
	}
}

// Attaching to a large file reads little of it: from the end, or from where the saved index ends when the end is torn.
func TestAttachReadsLittle(t *testing.T) {
	w := newPythonWriter(t, 0)
	w.d.fill(2500, 100, 8000)
	w.write(w.d.bytes, 0)
	if err := saveIndex(vfs.OS{}, w.path+".index", w.d.x.all(), w.d.at[2400]); err != nil {
		t.Fatal(err)
	}
	check := func() {
		disk := &countingDisk{}
		a := newAttached(w.path, Options{FS: disk})
		g, err := a.openGeneration(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer g.file.Close()
		if end, _ := g.get(); end != int64(len(w.d.bytes)) {
			t.Errorf("end is %d, want %d", end, len(w.d.bytes))
		}
		if read := disk.file.bytes.Load(); read > int64(len(w.d.bytes)/20) {
			t.Errorf("read %d of %d bytes", read, len(w.d.bytes))
		}
	}
	check()
	w.vote(check)
}

type countingDisk struct {
	vfs.OS
	file *countedFile
}

func (d *countingDisk) OpenFile(path string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := d.OS.OpenFile(path, flag, perm)
	if filepath.Ext(path) != ".fs" || err != nil {
		return f, err
	}
	d.file = &countedFile{File: f}
	return d.file, nil
}

// A Data.fs inside of a record is not taken for the file that it stands in.
func TestAttachIsNotFooledByData(t *testing.T) {
	inner := newDataFile()
	inner.fill(3*nearEnd, 10, 1)
	w := newPythonWriter(t, 2)
	end := int64(len(w.d.bytes))
	outer := *w.d
	outer.add(w.d.last+1, zodb.StatusCheckpoint, written{oid: 7, data: inner.bytes})
	torn := outer.bytes[end : len(outer.bytes)-lengthLen] // ends with the last byte of the inner file
	w.write(torn, end)
	if f := newFollower(t, w); f.Size() != end {
		t.Errorf("attached at %d, want %d", f.Size(), end)
	}
}

// After a pack, followers first finish the old file, and then go on in the new one without losing or repeating any.
func TestAttachSurvivesPack(t *testing.T) {
	w := newPythonWriter(t, 10)
	f := newFollower(t, w)
	slow, quick := f.iterate(0), f.iterate(0)
	old := slices.Clone(w.d.tids)
	expectTids(t, slow, old[0])
	expectTids(t, quick, old...)
	unseen := w.commit()
	w.pack(w.d.tids[6], func() {})
	after := w.commit()
	f.sees(after)
	expectTids(t, quick, unseen, after)
	expectTids(t, slow, append(old[1:], unseen, after)...)
	for _, it := range []zodb.Iterator{slow, quick} {
		if it.Pending() || it.Position() != f.Size() {
			t.Errorf("at %d, want %d", it.Position(), f.Size())
		}
	}
	if n, upTo, err := f.Count(t.Context(), 0); err != nil || n != int64(len(w.d.tids)) || upTo != after {
		t.Errorf("%d transactions up to %v, %v; want %d", n, upTo, err, len(w.d.tids))
	}
	if found, err := f.Find(t.Context(), after); err != nil || found.Status != ' ' {
		t.Errorf("%+v, %v", found, err)
	}
}

// Between the two renames of a pack there is no file at the path: the old one is followed on.
func TestAttachSurvivesTheMomentWithoutFile(t *testing.T) {
	w := newPythonWriter(t, 3)
	f := newFollower(t, w)
	it := f.iterate(w.d.last)
	before := w.commit()
	w.pack(0, func() { f.sees(before) })
	f.sees(before)
	after := w.commit()
	f.sees(after)
	expectTids(t, it, before, after)
}

// A pack may remove the last transaction taken, when nothing refers to its objects: that is no divergence.
func TestAttachSurvivesPackOfTheLastTransaction(t *testing.T) {
	w := newPythonWriter(t, 10)
	f := newFollower(t, w)
	it := f.iterate(w.d.last)
	w.d.tids = w.d.tids[:8]
	last := w.d.last
	w.pack(0, func() {})
	f.sees(w.d.last)
	w.d.last = last
	f.sees(w.commit())
	expectTids(t, it, w.d.last)
}

// Files of packs are closed once nobody reads them any more.
func TestAttachClosesOldFiles(t *testing.T) {
	w := newPythonWriter(t, 3)
	f := newFollower(t, w)
	first := f.current
	it := f.iterate(0)
	for range 3 {
		w.pack(0, func() {})
		f.sees(w.d.last)
	}
	if first.refs != 1 || f.current.refs != 1 {
		t.Errorf("%d references to the first file, %d to the last", first.refs, f.current.refs)
	}
	expectTids(t, it, w.d.tids...)
	f.sees(w.commit())
	expectTids(t, it, w.d.last)
	if first.refs != 0 || f.current.refs != 2 {
		t.Errorf("%d references to the first file, %d to the last", first.refs, f.current.refs)
	}
	if _, err := first.file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the first file is still open: %v", err)
	}
}

// A file overwritten in place by one that has the last transaction taken is followed on, at other offsets.
func TestAttachSurvivesOverwriting(t *testing.T) {
	w := newPythonWriter(t, 10)
	f := newFollower(t, w)
	it, behind := f.iterate(w.d.tids[6]), f.iterate(0)
	expectTids(t, it, w.d.tids[7:]...)
	expectTids(t, behind, w.d.tids[:3]...)
	other := newDataFile()
	for _, tid := range w.d.tids[2:] {
		other.add(tid, zodb.StatusPacked, written{oid: 1, data: []byte("other")})
	}
	w.overwrite(other, func() {
		f.sees(other.last)
		if _, err := f.Iterate(0, true); !errors.Is(err, errUnfinished) {
			t.Errorf("a new iterator during the copy: %v", err)
		}
		if _, err := f.Find(t.Context(), other.last); !errors.Is(err, errUnfinished) {
			t.Errorf("Find during the copy: %v", err)
		}
	})
	f.sees(other.last)
	f.sees(w.commit())
	expectTids(t, it, w.d.last)
	expectTids(t, behind, w.d.tids[1:]...)
}

// A file that is copied over with the same content goes on as if nothing had happened.
func TestAttachSurvivesRestoringTheSame(t *testing.T) {
	w := newPythonWriter(t, 4)
	f := newFollower(t, w)
	it := f.iterate(w.d.last)
	w.overwrite(w.d, func() { f.sees(w.d.last) })
	f.sees(w.d.last)
	f.sees(w.commit())
	expectTids(t, it, w.d.last)
}

// When a transaction that was taken is gone for good, the follower stops and names it; not before the file is at rest.
func TestAttachDivergence(t *testing.T) {
	other := newDataFile()
	other.fill(20, 3, 50)
	backup := newDataFile()
	backup.fill(2, 3, 10)
	cases := []struct {
		name   string
		change func(w *pythonWriter)
	}{
		{"cut in place", func(w *pythonWriter) { w.check(w.file.Truncate(w.d.at[4])) }},
		{"cut in the middle of a transaction", func(w *pythonWriter) { w.check(w.file.Truncate(w.d.at[4] + 30)) }},
		{"emptied", func(w *pythonWriter) { w.check(w.file.Truncate(0)) }},
		{"overwritten by a backup", func(w *pythonWriter) { w.overwrite(backup, func() {}) }},
		{"replaced by a backup", func(w *pythonWriter) {
			w.check(os.WriteFile(w.path+".new", backup.bytes, 0o666))
			w.check(os.Rename(w.path+".new", w.path))
		}},
		{"replaced by a longer file of another history", func(w *pythonWriter) {
			other.last = w.d.last
			other.fill(10, 3, 10)
			w.check(os.WriteFile(w.path+".new", other.bytes[:4], 0o666))
			f, err := os.OpenFile(w.path+".new", os.O_RDWR, 0)
			w.check(err)
			_, err = f.WriteAt(other.bytes[other.at[20]:], 4)
			w.check(errors.Join(err, f.Close()))
			w.check(os.Rename(w.path+".new", w.path))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newPythonWriter(t, 6)
			f := newFollower(t, w)
			it := f.iterate(0)
			expectTids(t, it, w.d.tids[:2]...)
			last := w.d.last
			c.change(w)
			f.sees(last)
			f.time = f.time.Add(patience*time.Second - 1)
			f.sees(last)
			f.time = f.time.Add(1)
			var diverged *DivergedError
			err := f.look(t.Context())
			if !errors.As(err, &diverged) || diverged.Tid != last || diverged.File != w.path {
				t.Fatalf("err = %v", err)
			}
			if f.lookAgain(t.Context()) {
				t.Error("the watcher goes on")
			}
			if _, err := it.Next(t.Context()); !errors.As(err, &diverged) {
				t.Errorf("the iterator got %v", err)
			}
			if _, err := f.Iterate(0, false); !errors.As(err, &diverged) {
				t.Errorf("a new iterator got %v", err)
			}
		})
	}
}

// Errors of the disk that pass do not end the following.
func TestAttachSurvivesDiskErrors(t *testing.T) {
	w := newPythonWriter(t, 2)
	f := newFollower(t, w)
	disk := &failingDisk{}
	f.fs = disk
	disk.err = errors.New("stale handle")
	if err := f.look(t.Context()); !errors.Is(err, disk.err) || !f.lookAgain(t.Context()) {
		t.Errorf("err = %v", err)
	}
	disk.err = nil
	f.sees(w.commit())
}

type failingDisk struct {
	vfs.OS
	err error
}

func (d *failingDisk) Stat(path string) (os.FileInfo, error) {
	if d.err != nil {
		return nil, d.err
	}
	return d.OS.Stat(path)
}

// A watcher woken by the system keeps up with a writer that commits, aborts and packs, and leaves no file of its own.
func TestAttachFollowsARunningWriter(t *testing.T) {
	w := newPythonWriter(t, 2)
	a, err := Attach(t.Context(), w.path, Options{Poll: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	it, err := a.Iterate(0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	expectTids(t, it, w.d.tids...)
	for i := range 60 {
		switch i % 10 {
		case 3:
			w.vote(func() {})
			w.abort()
		case 7:
			w.pack(w.d.tids[len(w.d.tids)/2], func() {})
		}
		expectTids(t, it, w.commit())
	}
	if a.LastTid() != w.d.last || a.Size() != int64(len(w.d.bytes)) || a.Magic() != zodb.MagicFS30 || a.HasBlobs() {
		t.Errorf("last %v, size %d", a.LastTid(), a.Size())
	}
	left, err := os.ReadDir(filepath.Dir(w.path))
	if err != nil || len(left) != 2 { // Data.fs and Data.fs.old
		t.Errorf("files: %v, %v", left, err)
	}
}

// Close wakes who waits, and may be called again.
func TestAttachClose(t *testing.T) {
	w := newPythonWriter(t, 2)
	a, err := Attach(t.Context(), w.path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	it, err := a.Iterate(w.d.last, true)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := it.Next(context.Background())
		done <- err
	}()
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("the iterator got %v", err)
	}
	if err := it.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.Iterate(0, false); !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("Iterate after Close: %v", err)
	}
}

// What is no Data.fs is refused at once.
func TestAttachRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	if _, err := Attach(t.Context(), path, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for _, content := range []string{"", "FS3", "GIF89a is a picture, not a database"} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if a, err := Attach(t.Context(), path, Options{}); err == nil {
			t.Errorf("%q was attached to, up to %d", content, a.Size())
		}
	}
}
