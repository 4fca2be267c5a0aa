package filestorage

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A full disk fails the transaction that does not fit, wherever in it; those enqueued before are committed, and when
// there is room again the storage goes on. The file never keeps anything of the failed one.
func TestFullDisk(t *testing.T) {
	for _, size := range []int{100, outputLen, 3 * outputLen} {
		for _, room := range []int64{0, 30, 90, outputLen + 10} {
			st := newStage(t, story{prepare: start})
			before := st.enqueue(1, "before", "")
			<-before.Done()
			st.disk.SetCapacity(usedBytes(t, st.disk) + room)
			txn := st.begin()
			serial, _ := st.serial(1)
			err := txn.Store(1, serial, []byte(strings.Repeat("x", size)))
			if err == nil {
				_, err = txn.Enqueue(t.Context())
			}
			if fits := int64(size)+100 < room; errors.Is(err, syscall.ENOSPC) == fits {
				t.Errorf("%d bytes where %d have room: %v", size, room, err)
			}
			if err := txn.Abort(); err != nil {
				t.Fatal(err)
			}
			st.disk.Heal()
			if err == nil {
				st.end()
				continue
			}
			st.tried = st.tried[:2]
			st.acked = 2
			st.commit(2, "after", "")
			if st.err != nil || st.acked != 3 {
				t.Fatalf("after room was made: %v", st.err)
			}
			crashed := st.disk.Crash(0)
			st.end()
			checkCrashed(t, "after a full disk", st, crashed)
		}
	}
}

// The phase after the vote needs no room: whatever room there is, a transaction that could be completed is committed,
// as the first of a group, in one, and alone, and one that could not leaves the others alone.
func TestAFullDiskFailsTheVoteAndNothingAfterIt(t *testing.T) {
	committed, refused := 0, 0
	for room := int64(0); room < 300; room += 7 {
		st := newStage(t, story{prepare: startIdle})
		st.disk.SetCapacity(usedBytes(t, st.disk) + room)
		full := false
		var commits []*Commit
		for oid := range zodb.Oid(4) {
			txn := st.begin()
			err := txn.Store(oid, 0, []byte("a record"))
			if err == nil {
				err = txn.Complete()
			}
			if full = full || errors.Is(err, syscall.ENOSPC); err != nil {
				if !full {
					t.Fatalf("room %d: %v", room, err)
				}
				refused++
				st.note(txn.Abort())
				continue
			}
			st.tried = append(st.tried, describe(txn.Tid(), oid, "a record", ""))
			commits = append(commits, st.send(txn))
		}
		go st.s.syncGroups()
		st.wait(commits...)
		committed += len(commits)
		if st.err != nil {
			t.Fatalf("room %d: %v", room, st.err)
		}
		st.disk.Heal()
		st.commit(9, "room again", "")
		crashed := st.disk.Crash(0)
		st.end()
		checkCrashed(t, "after a full disk", st, crashed)
	}
	if committed == 0 || refused == 0 {
		t.Errorf("%d were committed and %d refused", committed, refused)
	}
}

// A full disk keeps nobody from opening a storage whose last transaction was interrupted.
func TestAnInterruptedCommitIsCutOffWithoutRoomToKeepIt(t *testing.T) {
	st := newStage(t, story{prepare: interrupted3})
	st.disk.FailWhen(func(op simdisk.Op) error {
		if op.Kind == simdisk.Create || op.Kind == simdisk.Mkdir {
			return syscall.ENOSPC
		}
		return nil
	})
	st.open()
	if st.err != nil {
		t.Fatal(st.err)
	}
	if diff := cmp.Diff(lines(st.tried), lines(contents(t, st.s))); diff != "" {
		t.Error(diff)
	}
	st.end()
}

// usedBytes is the size of all files of a storage on a simulated disk.
func usedBytes(t *testing.T, disk *simdisk.Disk) (n int64) {
	t.Helper()
	for _, name := range []string{"db/Data.fs", "db/Data.fs.lock", "db/blobs/.layout"} {
		info, err := disk.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// When the disk fails where nobody can tell what it has, the storage takes no more transactions and says why; what is
// committed can still be read; all that waits is told; and when it is opened again, what was acknowledged is there.
func TestFailedDisk(t *testing.T) {
	broken := errors.New("broken disk")
	for _, c := range []struct {
		name string
		fail func(simdisk.Op) bool
	}{
		{"sync", func(op simdisk.Op) bool { return op.Kind == simdisk.Sync && op.Path == crashPath }},
		{"flip", func(op simdisk.Op) bool { return op.Kind == simdisk.Write && op.Path == crashPath && op.Len == 1 }},
		{"blob", func(op simdisk.Op) bool { return op.Kind == simdisk.Rename }},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStage(t, story{prepare: startIdle})
			first, second := st.enqueue(1, "first", ""), st.enqueue(1, withBlob, "blob")
			st.disk.FailWhen(func(op simdisk.Op) error {
				if c.fail(op) {
					return broken
				}
				return nil
			})
			go st.s.syncGroups()
			var failed *FailedError
			for _, commit := range []*Commit{first, second} {
				<-commit.Done()
				if err := commit.Err(); !errors.As(err, &failed) || !errors.Is(err, broken) {
					t.Errorf("a commit of the group: %v", err)
				}
			}
			if _, err := st.s.Begin(t.Context(), &zodb.TxnMeta{}); !errors.As(err, &failed) {
				t.Errorf("the next begin: %v", err)
			}
			if _, tid, err := st.s.Load(7); err != nil || tid != 10 || st.s.LastTid() != 10 {
				t.Errorf("reading: %v, %v, last tid %v", tid, err, st.s.LastTid())
			}
			if _, _, err := st.s.Load(1); err == nil {
				t.Error("what failed is visible")
			}
			st.disk.Heal()
			crashed := st.disk.Crash(0)
			st.end()
			checkCrashed(t, "after a failed disk", st, crashed)
		})
	}
}

// The same for a transaction that is finished by itself. A blob that cannot be published fails only its transaction.
func TestFailedFinish(t *testing.T) {
	broken := errors.New("broken disk")
	for _, c := range []struct {
		name  string
		fail  func(simdisk.Op) bool
		fatal bool
	}{
		{"sync", func(op simdisk.Op) bool { return op.Kind == simdisk.Sync && op.Path == crashPath }, true},
		{"flip", func(op simdisk.Op) bool { return op.Kind == simdisk.Write && op.Len == 1 }, true},
		{"blob", func(op simdisk.Op) bool { return op.Kind == simdisk.Rename }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStage(t, story{prepare: start})
			txn := st.begin()
			st.store(txn, 1, withBlob, "blob")
			st.disk.FailWhen(func(op simdisk.Op) error {
				if c.fail(op) {
					return broken
				}
				return nil
			})
			_, err := txn.Finish(t.Context(), nil)
			var failed *FailedError
			if errors.As(err, &failed) != c.fatal || !errors.Is(err, broken) {
				t.Errorf("finish: %v", err)
			}
			st.disk.Heal()
			if err := txn.Abort(); err != nil {
				t.Errorf("abort: %v", err)
			}
			_, err = st.s.Begin(t.Context(), &zodb.TxnMeta{Tid: 1})
			if want := zodb.ErrTidOrder; errors.As(err, &failed) != c.fatal || !c.fatal && !errors.Is(err, want) {
				t.Errorf("the next begin: %v", err)
			}
			crashed := st.disk.Crash(1)
			st.end()
			checkCrashed(t, "after a failed finish", st, crashed)
		})
	}
}

// A blob whose content breaks off fails its transaction, and leaves nothing.
func TestBrokenBlob(t *testing.T) {
	st := newStage(t, story{prepare: start})
	txn := st.begin()
	rec := &zodb.Record{Oid: 1, Tid: txn.Tid(), Size: int64(len(withBlob)), Data: strings.NewReader(withBlob),
		Blob: strings.NewReader("half"), BlobSize: 8}
	if err := txn.Restore(rec); err == nil {
		t.Error("restored")
	}
	if _, err := txn.Finish(t.Context(), nil); err == nil {
		t.Error("finished")
	}
	if err := txn.Abort(); err != nil {
		t.Fatal(err)
	}
	if left, err := st.disk.ReadDir("db/blobs/tmp"); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	st.commit(1, "goes on", "")
	if st.err != nil {
		t.Error(st.err)
	}
	st.end()
}

// An index saved while commits go on is that of its position: after a kill the storage opens with it, finds what was
// committed later, and the entries agree with the file.
func TestSaveIndexWhileCommitting(t *testing.T) {
	st := newStage(t, story{prepare: start})
	for i := range 40 {
		st.commit(zodb.Oid(i%10), strings.Repeat("x", i+1), "")
	}
	end := st.s.Size()
	later := func(yield func(zodb.Oid, int64) bool) {
		for oid, pos := range st.s.entriesAt(end) {
			st.commit(oid, "changed while the index is saved", "")
			st.commit(100+oid, "added while the index is saved", "")
			if !yield(oid, pos) {
				return
			}
		}
	}
	if err := saveIndex(st.disk, crashPath+indexSuffix, later, end); err != nil {
		t.Fatal(err)
	}
	if st.err != nil {
		t.Fatal(st.err)
	}
	crashed := st.disk.Crash(0)
	st.end()
	x, pos, err := loadIndex(crashed, crashPath+indexSuffix)
	if err != nil || pos != end {
		t.Fatalf("saved index of %d, %v; want %d", pos, err, end)
	}
	f, _ := crashed.OpenFile(crashPath, 0, 0)
	size, _ := f.Stat()
	c := newScan(t.Context(), f, crashPath, size.Size())
	if err := c.accept(x, pos); err != nil {
		t.Errorf("the saved index is not accepted: %v", err)
	}
	if err := c.run(); err != nil || c.strange > 0 {
		t.Errorf("%v, %d records do not name the entry before them", err, c.strange)
	}
	checkCrashed(t, "after a kill", st, crashed)
}

// The storage saves its index by itself when enough was committed since the last time.
func TestSaveIndexNowAndThen(t *testing.T) {
	st := newStage(t, story{prepare: withCommits})
	v := &st.s.indexSaver
	saved := v.saved
	st.commit(3, "a little", "")
	if v.running != nil || v.saved != saved {
		t.Error("saved after a little")
	}
	v.saved -= saveEvery
	st.commit(4, "enough", "")
	<-v.running
	if _, pos, err := loadIndex(st.disk, crashPath+indexSuffix); err != nil || pos != st.s.Size() {
		t.Errorf("saved index is of %d, %v; want %d", pos, err, st.s.Size())
	}
	st.end()
}

// An index that cannot be saved at the end costs time at the next start, and is no failure of the storage.
func TestAnIndexThatCannotBeSavedAtTheEndIsAWarning(t *testing.T) {
	st := newStage(t, story{prepare: withCommits})
	st.disk.FailWhen(func(op simdisk.Op) error {
		if strings.HasPrefix(op.Path, crashPath+indexSuffix) {
			return syscall.ENOSPC
		}
		return nil
	})
	warned := &bytes.Buffer{}
	st.s.log = hclog.New(&hclog.LoggerOptions{Output: warned})
	if err := st.s.Close(); err != nil || !strings.Contains(warned.String(), "[WARN]") {
		t.Errorf("%v, with the words %q", err, warned)
	}
	st.disk.Heal()
	st.open()
	if st.err != nil || st.s.LastTid() != 30 {
		t.Error(st.err)
	}
	st.end()
}

// A transaction of any number of blobs keeps only a few of them open until it is voted, and all are durable then.
func TestManyBlobsInATransaction(t *testing.T) {
	st := newStage(t, story{prepare: start})
	txn := st.begin()
	unsynced, most := 0, 0
	st.disk.FailWhen(func(op simdisk.Op) error {
		switch {
		case op.Kind == simdisk.Create && strings.Contains(op.Path, "/tmp/"):
			unsynced++
		case op.Kind == simdisk.Sync && strings.Contains(op.Path, "/tmp/"):
			unsynced--
		}
		most = max(most, unsynced)
		return nil
	})
	for oid := range zodb.Oid(3*maxOpenBlobs + 1) {
		if err := txn.StoreBlob(100+oid, 0, []byte(withBlob), strings.NewReader("blob")); err != nil {
			t.Fatal(err)
		}
	}
	if err := txn.Vote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if most > maxOpenBlobs || unsynced != 0 {
		t.Errorf("up to %d blobs were open, %d are not synced", most, unsynced)
	}
	mustFinish(t, txn)
	st.end()
}
