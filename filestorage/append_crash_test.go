package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// An otherCopy is what an append is made from: a storage that begins like the one of start.
type otherCopy struct {
	bytes []byte
	tried []string // as of a stage, one of each transaction
	ends  []int64  // of the transactions
	blobs map[BlobID]string
}

var readOther sync.Once
var other otherCopy

// makeOther returns one with blobs, an undo, and data of several kinds.
func makeOther(t *testing.T) *otherCopy {
	t.Helper()
	readOther.Do(func() {
		st := newStage(t, story{prepare: start})
		for _, more := range []func(){
			func() { st.commit(1, "one", "") },
			func() { st.commit(1, withBlob, "blob") },
			func() { st.commit(2, "two", "") },
			func() { st.undo(30, 1, "one", "") },
			func() { st.commit(3, withBlob, "another blob") },
			func() { st.commit(2, strings.Repeat("large", 900), "") },
			func() { st.undo(50, 1, withBlob, "blob") },
			func() { st.commit(7, "last", "") },
		} {
			other.ends = append(other.ends, st.s.Size())
			more()
		}
		other.ends = append(other.ends, st.s.Size())
		if st.err != nil {
			t.Fatal(st.err)
		}
		other.bytes = make([]byte, st.s.Size())
		_, err := st.s.file.ReadAt(other.bytes, 0)
		st.note(err)
		other.tried, other.blobs = st.tried, map[BlobID]string{}
		st.note(st.s.blobs.(*blobstore.Store).Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, _ string) error {
			f, err := st.s.OpenBlob(oid, tid)
			if err != nil {
				return err
			}
			other.blobs[BlobID{oid, tid}] = mustReadAll(t, io.NewSectionReader(f, 0, 1<<20))
			return f.Close()
		}))
		if st.end(); st.err != nil {
			t.Fatal(st.err)
		}
	})
	return &other
}

func (o *otherCopy) options(to *Storage) AppendOptions {
	return AppendOptions{
		HasBlob: func(oid zodb.Oid, tid zodb.Tid) bool { _, ok := o.blobs[BlobID{oid, tid}]; return ok },
		Blobs: func(_ context.Context, revisions []BlobID) (staged []zodb.StagedBlob, err error) {
			for _, r := range revisions {
				b, err := to.blobs.Stage(r.Oid, r.Tid, strings.NewReader(o.blobs[r]))
				if err != nil {
					return staged, err
				}
				staged = append(staged, b)
			}
			return staged, nil
		},
	}
}

// append continues the storage with the other copy up to an offset, in groups of so many transactions.
func (st *stage) append(o *otherCopy, to int64, txns int) { st.appendWith(o, to, txns, togetherFrom) }

// appendWith has so many blobs or more of a group made durable together.
func (st *stage) appendWith(o *otherCopy, to int64, txns, together int) {
	if st.s == nil {
		return
	}
	st.tried = o.tried
	visible := func() {
		for st.acked < len(o.ends) && o.ends[st.acked] <= st.s.Size() {
			st.acked++
		}
	}
	defer st.s.Watch(func([]Invalidation, bool) { visible() })()
	a, err := st.s.Append(st.t.Context(), o.options(st.s))
	if err != nil {
		st.note(err)
		return
	}
	a.most.txns, a.most.together = txns, together
	for rest := o.bytes[a.Pos():to]; len(rest) > 0 && err == nil; {
		n := min(1000, len(rest))
		err, rest = a.Write(st.t.Context(), rest[:n]), rest[n:]
	}
	st.note(err)
	st.note(a.Close(st.t.Context()))
	if err == nil && to < o.ends[len(o.ends)-1] {
		st.tried = st.tried[:st.acked]
	}
}

// The stories of appends: whole, with transactions committed after it, and cut in the middle of a transaction and begun
// again.
var appendStories = []story{
	{"append", start, func(st *stage) {
		o := makeOther(st.t)
		st.append(o, int64(len(o.bytes)), 3)
		st.commitAfter(o, "after")
	}, false},
	{"append-again", start, func(st *stage) {
		o := makeOther(st.t)
		st.append(o, o.ends[4]+30, 1)
		st.append(o, int64(len(o.bytes)), 100)
		st.close()
	}, false},
	{"append-together", start, func(st *stage) {
		o := makeOther(st.t)
		st.appendWith(o, int64(len(o.bytes)), 3, 1)
		st.commitAfter(o, "after")
	}, false},
}

// commitAfter commits when all of the other copy is there.
func (st *stage) commitAfter(o *otherCopy, data string) {
	if st.acked == len(o.tried) {
		st.tried = st.tried[:len(st.tried):len(st.tried)]
		st.commit(1, data, "")
	}
}

// After a power failure before any operation of an append what is there ends with a group, blobs included, however
// those are made durable.
func TestAppendLeavesWholeGroups(t *testing.T) {
	for _, together := range []int{1, togetherFrom} {
		appendLeavesWholeGroups(t, together)
	}
}

func appendLeavesWholeGroups(t *testing.T, together int) {
	t.Helper()
	o := makeOther(t)
	whole := func(st *stage) { st.appendWith(o, int64(len(o.bytes)), 3, together) }
	for n, done := 1, false; !done; n++ {
		for seed := range uint64(4) {
			st := play(t, story{prepare: start, play: whole}, n)
			done = st.err == nil
			crashed := &stage{t: t, disk: st.disk.Crash(seed)}
			st.end()
			crashed.open()
			if crashed.err != nil {
				t.Fatal(crashed.err)
			}
			got := contents(t, crashed.s)
			if (len(got)-1)%3 != 0 && len(got) != len(o.tried) {
				t.Errorf("power off at operation %d: %d transactions are there", n, len(got))
			}
			if diff := cmp.Diff(lines(o.tried[:len(got)]), lines(got)); diff != "" {
				t.Errorf("power off at operation %d (-want +got):\n%s", n, diff)
			}
			crashed.end()
		}
	}
}

// However the bytes come, the header of the first transaction of a group is one write: of two, the first one and what
// comes after both might survive a power failure, and would look like damage.
func TestAppendWritesTheFirstHeaderAtOnce(t *testing.T) {
	o := makeOther(t)
	for piece := range 2 * txnHeaderLen {
		st := newStage(t, story{prepare: start})
		before := len(st.disk.Ops())
		a, err := st.s.Append(t.Context(), o.options(st.s))
		if err != nil {
			t.Fatal(err)
		}
		a.most.txns = 1
		for rest := o.bytes[a.Pos():]; len(rest) > 0; {
			n := min(piece+1, len(rest))
			if err := a.Write(t.Context(), rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, op := range st.disk.Ops()[before:] {
			for _, at := range o.ends[:len(o.ends)-1] {
				inside := op.Path == crashPath && op.Off+int64(op.Len) > at && op.Off < at+txnHeaderLen
				status := op.Off == at+statusAt && op.Len == 1
				if op.Kind == simdisk.Write && inside && !status && (op.Off != at || op.Len < txnHeaderLen) {
					t.Fatalf("in pieces of %d: %v, of a header at %d", piece+1, op, at)
				}
			}
		}
		st.end()
	}
}

// A disk that is full, or fails, while bytes are appended: nothing of the group in progress stays, and with room the
// append continues from where the storage is.
func TestAppendToAFullDisk(t *testing.T) {
	o := makeOther(t)
	full := 0
	for room := int64(0); room < int64(len(o.bytes)); room += 61 {
		st := newStage(t, story{prepare: start})
		st.disk.SetCapacity(usedBytes(t, st.disk) + room)
		st.append(o, int64(len(o.bytes)), 2)
		if st.err != nil && !errors.Is(st.err, syscall.ENOSPC) {
			t.Fatalf("room %d: %v", room, st.err)
		}
		if st.err != nil {
			full++
		}
		if info, err := st.disk.Stat(crashPath); err != nil || info.Size() != st.s.Size() {
			t.Fatalf("room %d: the file has %d bytes, %d are committed, %v", room, info.Size(), st.s.Size(), err)
		}
		if left, err := st.disk.ReadDir("db/blobs/tmp"); err != nil || len(left) > 0 {
			t.Fatalf("room %d: %v is left, %v", room, left, err)
		}
		st.disk.Heal()
		st.err = nil
		st.append(o, int64(len(o.bytes)), 2)
		if st.err != nil || st.acked != len(o.tried) {
			t.Fatalf("room %d: after room was made: %d transactions, %v", room, st.acked, st.err)
		}
		crashed := st.disk.Crash(0)
		st.end()
		checkCrashed(t, fmt.Sprint("after a disk with room for ", room), st, crashed)
	}
	if full == 0 {
		t.Error("the disk was never full")
	}
}

// Where a sync, a status or a name of a blob fails the storage stops, as for commits, and says so to the append.
func TestAppendToAFailedDisk(t *testing.T) {
	o := makeOther(t)
	broken := errors.New("broken disk")
	for name, fails := range map[string]func(simdisk.Op) bool{
		"sync":   func(op simdisk.Op) bool { return op.Kind == simdisk.Sync && op.Path == crashPath },
		"status": func(op simdisk.Op) bool { return op.Kind == simdisk.Write && op.Off == o.ends[0]+statusAt },
		"name":   func(op simdisk.Op) bool { return op.Kind == simdisk.Rename },
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, story{prepare: start})
			a, err := st.s.Append(t.Context(), o.options(st.s))
			if err != nil {
				t.Fatal(err)
			}
			a.most.txns = 2
			if err := a.Write(t.Context(), o.bytes[a.Pos():o.ends[2]-1]); err != nil {
				t.Fatal(err)
			}
			st.disk.FailWhen(func(op simdisk.Op) error {
				if fails(op) {
					return broken
				}
				return nil
			})
			err = errors.Join(a.Write(t.Context(), o.bytes[a.Pos():]), a.Close(t.Context()))
			if failed := (*FailedError)(nil); !errors.As(err, &failed) || !errors.Is(err, broken) {
				t.Errorf("the append: %v", err)
			}
			if _, tid, err := st.s.Load(7); err != nil || tid != 10 || st.s.LastTid() != 10 {
				t.Errorf("reading: %v, %v, last tid %v", tid, err, st.s.LastTid())
			}
			if _, err := st.s.Append(t.Context(), AppendOptions{}); !errors.As(err, new(*FailedError)) {
				t.Fatalf("the next append: %v", err)
			}
			st.tried, st.acked = o.tried, 1
			st.disk.Heal()
			crashed := st.disk.Crash(0)
			st.end()
			checkCrashed(t, "after a failed disk", st, crashed)
		})
	}
}

// Blobs that cannot be had fail the append; nothing of their group stays, staged ones included.
func TestAppendWithoutItsBlobs(t *testing.T) {
	o := makeOther(t)
	st := newStage(t, story{prepare: start})
	opt, away := o.options(st.s), errors.New("the blob directory is away")
	stage := opt.Blobs
	opt.Blobs = func(ctx context.Context, revisions []BlobID) ([]zodb.StagedBlob, error) {
		staged, err := stage(ctx, revisions)
		return staged, errors.Join(err, away)
	}
	a, err := st.s.Append(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	a.most.txns = 1
	err = a.Write(t.Context(), o.bytes[a.Pos():])
	if !errors.Is(err, away) || a.Pos() != o.ends[1] || a.Last() != 20 {
		t.Errorf("%v, at %d after %v", err, a.Pos(), a.Last())
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := st.disk.ReadDir("db/blobs/tmp"); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if diff := cmp.Diff(lines(o.tried[:2]), lines(contents(t, st.s))); diff != "" {
		t.Error(diff)
	}
	st.end()
}

// withManyBlobs returns the file of a storage with a transaction of so many blobs.
func withManyBlobs(t *testing.T, blobs int) (from *stage, data []byte) {
	t.Helper()
	from = newStage(t, story{prepare: start})
	txn := from.begin()
	for oid := range zodb.Oid(blobs) {
		if err := txn.StoreBlob(100+oid, 0, []byte(withBlob), strings.NewReader(fmt.Sprint("blob ", oid))); err != nil {
			t.Fatal(err)
		}
	}
	mustFinish(t, txn)
	data = make([]byte, from.s.Size())
	if _, err := from.s.file.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return from, data
}

// Where the disk can, blobs are made durable together: contents once, and names once.
func TestManyAppendedBlobsAreMadeDurableTogether(t *testing.T) {
	from, data := withManyBlobs(t, 3*maxOpenBlobs+1)
	st := newStage(t, story{prepare: start})
	before := len(st.disk.Ops())
	if err := appendBytesOf(t, st.s, data, 100, blobsFrom(from.s, st.s)); err != nil {
		t.Fatal(err)
	}
	var all []simdisk.Kind
	for _, op := range st.disk.Ops()[before:] {
		if op.Kind == simdisk.SyncAll || op.Kind == simdisk.SyncDir ||
			op.Kind == simdisk.Sync && strings.Contains(op.Path, "/blobs/") {
			all = append(all, op.Kind)
		}
	}
	if want := []simdisk.Kind{simdisk.SyncAll, simdisk.SyncAll}; !slices.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
	st.end()
	from.end()
}

// A transaction with more blobs than may be open has them all, and few of them open at a time.
func TestAppendOfManyBlobs(t *testing.T) {
	const blobs = 3*maxOpenBlobs + 1
	from, data := withManyBlobs(t, blobs)
	st := newStage(t, story{prepare: start})
	st.disk.SyncsOneByOne()
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
	opt := blobsFrom(from.s, st.s)
	if err := appendBytesOf(t, st.s, data, 100, opt); err != nil {
		t.Fatal(err)
	}
	if most > maxOpenBlobs || unsynced != 0 {
		t.Errorf("up to %d blobs were open, %d are not synced", most, unsynced)
	}
	if got, err := st.s.OpenBlob(100+blobs-1, 20); err != nil {
		t.Error(err)
	} else if err := got.Close(); err != nil {
		t.Error(err)
	}
	if left, err := st.disk.OpenFile(crashPath, os.O_RDONLY, 0); err != nil || left.Close() != nil {
		t.Error(err)
	}
	from.end()
	st.end()
}
