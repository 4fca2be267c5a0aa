package filestorage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// blobsFrom are options with which an Appender gets the blobs of another storage.
func blobsFrom(from, to *Storage) AppendOptions {
	if !from.HasBlobs() {
		return AppendOptions{}
	}
	return AppendOptions{
		HasBlob: func(oid zodb.Oid, tid zodb.Tid) bool {
			f, err := from.OpenBlob(oid, tid)
			if err != nil {
				return false
			}
			return f.Close() == nil
		},
		Blobs: func(_ context.Context, revisions []BlobID) (staged []zodb.StagedBlob, err error) {
			for _, r := range revisions {
				f, err := from.OpenBlob(r.Oid, r.Tid)
				if err != nil {
					return staged, err
				}
				b, err := to.blobs.Stage(r.Oid, r.Tid, io.NewSectionReader(f, 0, math.MaxInt64))
				if err = errors.Join(err, f.Close()); err != nil {
					return staged, err
				}
				staged = append(staged, b)
			}
			return staged, nil
		},
	}
}

func mustAppend(tb testing.TB, to *Storage, opt AppendOptions) *Appender {
	tb.Helper()
	a, err := to.Append(tb.Context(), opt)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// appendBytesOf continues to with what data, a whole Data.fs, has more, n bytes at a time.
func appendBytesOf(tb testing.TB, to *Storage, data []byte, n int, opt AppendOptions) error {
	tb.Helper()
	a := mustAppend(tb, to, opt)
	var err error
	for rest := data[a.Pos():]; len(rest) > 0 && err == nil; {
		p := rest[:min(n, len(rest))]
		err, rest = a.Write(tb.Context(), p), rest[len(p):]
	}
	return errors.Join(err, a.Close(tb.Context()))
}

// What is appended makes the file the other one byte for byte, with the same blobs, however it comes; also when the
// storage is opened again on the way. Where the other file differs from what a copy by records would be, it is that of
// the other one.
func TestAppendFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		name := filepath.Base(dir)
		if damaged[name] {
			return // see TestOpenDamaged
		}
		from := openFixture(t, name, Options{ReadOnly: true})
		data := mustRead(t, filepath.Join(dir, "Data.fs"))[:want.End]
		for _, n := range []int{7, 1000, len(data)} {
			to := emptyLike(t, from)
			err := appendBytesOf(t, to, data[:max(len(data)/2, magicLen)], n, blobsFrom(from, to))
			to = reopen(t, to)
			if err = errors.Join(err, appendBytesOf(t, to, data, n, blobsFrom(from, to))); err != nil {
				t.Fatalf("%d bytes at a time: %v", n, err)
			}
			checkCopy(t, to, from, data, nil)
			checkIndexAgainstFile(t, "appended", to)
			to = reopen(t, to)
			checkCopy(t, to, from, data, nil)
		}
	})
}

// Wherever the bytes end, the transactions that are whole stay, and the rest comes again in the next append.
func TestAppendContinuesAfterACut(t *testing.T) {
	d, half := allKinds()
	ends := append(d.at[1:len(d.at):len(d.at)], int64(len(d.bytes)))
	for cut := half; cut <= len(d.bytes); cut += 3 {
		s := inMemory(t, d.bytes[:half])
		if err := appendPieces(t, s, d.bytes[:cut], func() int { return 50 }); err != nil {
			t.Fatal(err)
		}
		i := 0
		for i+1 < len(ends) && ends[i+1] <= int64(cut) {
			i++
		}
		if s.Size() != ends[i] {
			t.Fatalf("cut at %d: %d bytes are committed, want %d", cut, s.Size(), ends[i])
		}
		if err := appendPieces(t, s, d.bytes, func() int { return 50 }); err != nil {
			t.Fatal(err)
		}
		if s.Size() != int64(len(d.bytes)) {
			t.Fatalf("cut at %d: %d bytes are committed at the end", cut, s.Size())
		}
		checkAppended(t, s, d.bytes, nil)
	}
}

// Groups of an append become visible while it goes on, in the order of the file, whole, and with what waits for commits
// informed; and transactions can be committed afterwards, which are based on what was appended.
func TestAppendIsVisibleGroupByGroup(t *testing.T) {
	d := newDataFile()
	d.fill(40, 10, 1<<20)
	to := emptyStorage(t, Options{})
	var seen []zodb.Tid
	stop := to.Watch(func(txns []Invalidation, here bool) {
		if txns != nil || here {
			t.Errorf("told of %d transactions, here %v: they are to be read", len(txns), here)
		}
		seen = append(seen, to.LastTid())
	})
	if err := appendBytesOf(t, to, d.bytes, 1<<20, AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	stop()
	if len(seen) < 4 || seen[len(seen)-1] != d.last {
		t.Errorf("became visible up to %v, want several groups up to %v", seen, d.last)
	}
	serial, err := to.GetTid(3)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, to, 3, serial, "based on what was appended")
	if oid := to.NewOid(); oid != 10 {
		t.Errorf("the next oid is %v", oid)
	}
}

// The lock is given back by Close and held until then; a storage that is closed, read-only or failed takes no append.
func TestAppendHoldsTheCommitLock(t *testing.T) {
	s := emptyStorage(t, Options{})
	a := mustAppend(t, s, AppendOptions{})
	if txn, err := s.BeginNow(&zodb.TxnMeta{}); txn != nil || err != nil {
		t.Errorf("a transaction began: %v", err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(t.Context(), []byte("x")); !errors.Is(err, zodb.ErrTransaction) {
		t.Errorf("written after the end: %v", err)
	}
	commit(t, s, 1, 0, "after it")
	readOnly := mustOpen(t, s.Path(), Options{ReadOnly: true})
	if _, err := readOnly.Append(t.Context(), AppendOptions{}); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("append to a read-only storage: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), AppendOptions{}); !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("append to a closed storage: %v", err)
	}
}

// A snapshot reads the file as it was when it was taken, also when a pack has replaced it, and knows where transactions
// end.
func TestSnapshot(t *testing.T) {
	d := newDataFile()
	d.fill(20, 4, 300)
	s := d.storage(t)
	n, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, 0, d.last-6, strings.Repeat("later", 100))
	if r, err := s.Pack(t.Context(), d.last-10, PackOptions{References: toyReferences}); err != nil || !r.Packed {
		t.Fatalf("%+v, %v", r, err)
	}
	got, err := io.ReadAll(io.NewSectionReader(n, 0, math.MaxInt64))
	if err != nil || !bytes.Equal(got, d.bytes) || n.End() != int64(len(d.bytes)) || n.Last() != d.last {
		t.Errorf("%d bytes up to %v, %v", len(got), n.Last(), err)
	}
	if _, err := n.ReadAt(make([]byte, 1), n.End()); !errors.Is(err, io.EOF) {
		t.Errorf("read at the end: %v", err)
	}
	ends := append(d.at[1:len(d.at):len(d.at)], n.End())
	for pos := range n.End() + 10 {
		for i, tid := range append([]zodb.Tid{0}, d.tids...) {
			want := i == 0 && pos == magicLen || i > 0 && pos == ends[i-1]
			if is, err := n.EndsAt(t.Context(), tid, pos); is != want || err != nil {
				t.Fatalf("transaction %v ends at %d: %v, %v", tid, pos, is, err)
			}
		}
	}
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Error(err)
	}
}
