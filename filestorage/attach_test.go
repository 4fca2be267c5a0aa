package filestorage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A follower is an Attached without a watcher: the test says when to look, and what time it is.
type follower struct {
	*Attached
	t    *testing.T
	time time.Time
}

func newFollower(t *testing.T, w *pythonWriter) *follower {
	t.Helper()
	f := &follower{t: t, time: time.Unix(1_700_000_000, 0)}
	f.Attached = newAttached(w.path, AttachOptions{poll: time.Second, now: func() time.Time { return f.time }})
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

// expectTids reads the tids from the iterator.
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
		a := newAttached(w.path, AttachOptions{FS: disk})
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

// Attaching to a file that zrsd writes does not take a group in flight for committed, however many are in it: all but
// its first have their final status.
func TestAttachDoesNotSeeAGroupInFlight(t *testing.T) {
	st := newStage(t, story{prepare: startIdle})
	var commits []*Commit
	ctx, cancel := context.WithCancel(t.Context())
	for st.s.queue.hasRoom() {
		txn, err := st.s.Begin(ctx, &zodb.TxnMeta{})
		if err != nil {
			t.Fatal(err)
		}
		st.note(txn.Restore(&zodb.Record{Oid: 1, Tid: txn.Tid(), Size: zodb.NoData}))
		commits = append(commits, st.send(txn))
	}
	cancel()
	a, err := Attach(t.Context(), crashPath, AttachOptions{FS: st.disk})
	if err != nil {
		t.Fatal(err)
	}
	if a.LastTid() != st.s.LastTid() || a.Size() != st.s.Size() || len(commits) < 100 {
		t.Errorf("with %d in flight after %v it sees %v", len(commits), st.s.LastTid(), a.LastTid())
	}
	must(t, a.Close())
	go st.s.syncGroups()
	for _, c := range commits {
		<-c.Done()
		st.note(c.Err())
	}
	if st.end(); st.err != nil {
		t.Error(st.err)
	}
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

// A pack removes a last transaction taken that has no records: that is no divergence.
func TestAttachSurvivesPackOfTheLastTransaction(t *testing.T) {
	w := newPythonWriter(t, 8)
	kept := w.d.tids
	for range 2 {
		w.d.add(w.d.last+2, zodb.StatusCommitted)
	}
	w.write(w.d.bytes, 0)
	f := newFollower(t, w)
	it := f.iterate(w.d.last)
	last := w.d.last
	w.d.tids = kept
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
