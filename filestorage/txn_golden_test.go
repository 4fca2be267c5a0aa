package filestorage

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// An op is one step of a fixture's ops.json.
type op struct {
	Op          string
	Tid         zodb.Tid
	Status      string
	User        []byte `json:"user_b64"`
	Description []byte `json:"description_b64"`
	Extension   []byte `json:"extension_b64"`
	Oid         zodb.Oid
	Serial      zodb.Tid
	UndoTid     zodb.Tid `json:"undo_tid"`
	Oids        []zodb.Oid
	Data        []byte `json:"data_b64"`
	BlobSeed    string `json:"blob_seed"`
	BlobSize    int    `json:"blob_size"`
	Size        int64
	StopTid     zodb.Tid `json:"stop_tid"`
	GC          bool
	SizeBefore  int64 `json:"size_before"`
	SizeAfter   int64 `json:"size_after"`
}

func (o *op) blob() io.Reader {
	var content []byte
	for n := 0; len(content) < o.BlobSize; n++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d", o.BlobSeed, n))
		content = append(content, sum[:]...)
	}
	return bytes.NewReader(content[:o.BlobSize])
}

// The calls that made a fixture make the same bytes here.
func TestReplayFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, _ *expectation) {
		t.Helper()
		file := filepath.Join(dir, "ops.json")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			t.Skip("it was not made by calls")
		}
		var ops []op
		readJSON(t, file, &ops)
		want := mustRead(t, filepath.Join(dir, "Data.fs"))
		to := t.TempDir()
		s := mustOpen(t, filepath.Join(to, "Data.fs"), Options{
			Magic: zodb.Magic(want), Blobs: openBlobs(t, filepath.Join(to, "blobs")),
		})
		replay(t, s, ops)
		got := mustRead(t, s.Path())
		if int64(len(got)) != s.Size() {
			t.Errorf("file has %d bytes, %d are committed", len(got), s.Size())
		}
		if !bytes.Equal(want, got) {
			t.Errorf("bytes differ (-want +got):\n%s", cmp.Diff(want, got))
		}
	})
}

func mustRead(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func replay(t *testing.T, s *Storage, ops []op) {
	t.Helper()
	var txn *Txn
	for _, o := range ops {
		var err error
		switch o.Op {
		case "begin":
			txn, err = s.Begin(t.Context(), &zodb.TxnMeta{Tid: o.Tid, Status: zodb.Status(o.Status[0]),
				User: o.User, Description: o.Description, Extension: o.Extension})
		case "store":
			err = txn.Store(o.Oid, o.Serial, o.Data)
		case "storeBlob":
			err = txn.StoreBlob(o.Oid, o.Serial, o.Data, o.blob())
		case "delete":
			err = txn.Delete(o.Oid, o.Serial)
		case "vote":
			err = txn.Vote(t.Context())
		case "finish":
			if _, err = txn.Finish(t.Context(), nil); s.Size() != o.Size {
				t.Fatalf("%d bytes are committed, want %d", s.Size(), o.Size)
			}
		case "undo":
			var oids []zodb.Oid
			if oids, err = txn.Undo(t.Context(), o.UndoTid); !slices.Equal(oids, o.Oids) {
				t.Errorf("undo of %v changed %v, want %v", o.UndoTid, oids, o.Oids)
			}
		case "pack":
			var r PackResult
			r, err = s.Pack(t.Context(), o.StopTid, PackOptions{GC: o.GC, KeepOld: true, References: toyReferences})
			if !r.Packed || r.Before != o.SizeBefore || r.After != o.SizeAfter {
				t.Errorf("pack from %d to %d bytes, want from %d to %d", r.Before, r.After, o.SizeBefore, o.SizeAfter)
			}
		default:
			t.Fatalf("no such call: %s", o.Op)
		}
		if err != nil {
			t.Fatalf("%s: %v", o.Op, err)
		}
	}
}

// copyInto restores up to limit transactions that a copy does not yet have, each finished by itself or all enqueued.
func copyInto(tb testing.TB, to, from *Storage, limit int, enqueue bool) {
	tb.Helper()
	it, err := from.Iterate(to.LastTid(), false)
	if err != nil {
		tb.Fatal(err)
	}
	defer it.Close()
	var last *Commit
	for range limit {
		txn, err := it.Next(tb.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			tb.Fatal(err)
		}
		w, err := to.Begin(tb.Context(), txn.Meta())
		if err != nil {
			tb.Fatal(err)
		}
		restoreAll(tb, w, txn)
		if enqueue {
			last, err = w.Enqueue(tb.Context())
		} else {
			_, err = w.Finish(tb.Context(), nil)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if last != nil {
		<-last.Done()
		if err := last.Err(); err != nil {
			tb.Fatal(err)
		}
	}
}

func restoreAll(tb testing.TB, w *Txn, txn zodb.Transaction) {
	tb.Helper()
	for {
		rec, err := txn.NextRecord()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			tb.Fatal(err)
		}
		if err := w.Restore(rec); err != nil {
			tb.Fatal(err)
		}
	}
}

// prevIntoUndone are the places in a fixture where a copy differs: a record whose prev leads into an undone transaction
// gets, in the copy, the record before that one.
var prevIntoUndone = map[string][]int64{"status-u": {416 + 16}}

// A copy of a storage made through iterator and restore is the same file byte for byte, and has the same blobs, whether
// its transactions are committed one by one or in groups; and it goes on to be when it is reopened on the way.
func TestRestoreFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		name := filepath.Base(dir)
		if damaged[name] {
			t.Skip("see TestOpenDamaged")
		}
		from := openFixture(t, name, Options{ReadOnly: true})
		data := mustRead(t, filepath.Join(dir, "Data.fs"))[:want.End]
		for _, enqueue := range []bool{false, true} {
			t.Run(fmt.Sprintf("enqueued %v", enqueue), func(t *testing.T) {
				to := emptyLike(t, from)
				copyInto(t, to, from, len(want.Transactions)/2, enqueue)
				to = reopen(t, to)
				copyInto(t, to, from, math.MaxInt, enqueue)
				checkCopy(t, to, from, data, prevIntoUndone[name])
			})
		}
	})
}

// emptyLike creates an empty storage that can become a copy.
func emptyLike(tb testing.TB, from *Storage) *Storage {
	tb.Helper()
	dir := tb.TempDir()
	opt := Options{Magic: from.Magic()}
	if from.HasBlobs() {
		opt.Blobs = openBlobs(tb, filepath.Join(dir, "blobs"))
	}
	return mustOpen(tb, filepath.Join(dir, "Data.fs"), opt)
}

// reopen closes a storage and opens it again.
func reopen(tb testing.TB, s *Storage) *Storage {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	return mustOpen(tb, s.Path(), Options{Blobs: s.blobs})
}

func checkCopy(t *testing.T, to, from *Storage, want []byte, exceptions []int64) {
	t.Helper()
	got := mustRead(t, to.Path())
	if len(got) != len(want) {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
	for _, at := range exceptions {
		copy(got[at:at+8], want[at:at+8])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bytes differ (-want +got):\n%s", diff)
	}
	if to.LastTid() != from.LastTid() || to.Len() != from.Len() {
		t.Errorf("last tid %v, %d objects; want %v, %d", to.LastTid(), to.Len(), from.LastTid(), from.Len())
	}
	checkBlobs(t, to, from)
}

// checkBlobs compares the blobs that records have in both storages.
func checkBlobs(t *testing.T, to, from *Storage) {
	t.Helper()
	if !from.HasBlobs() {
		return
	}
	for oid := range from.index.all() {
		entries, err := from.History(oid, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			want, got := readBlob(t, from, oid, e.Tid), readBlob(t, to, oid, e.Tid)
			if want != got {
				t.Errorf("blob of oid %v tid %v is %.40q, want %.40q", oid, e.Tid, got, want)
			}
		}
	}
}

// readBlob returns the content of a blob, or that it is missing.
func readBlob(tb testing.TB, s *Storage, oid zodb.Oid, tid zodb.Tid) string {
	tb.Helper()
	f, err := s.OpenBlob(oid, tid)
	var key *zodb.POSKeyError
	if errors.As(err, &key) && key.Blob {
		return "missing"
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	if err != nil {
		tb.Fatal(err)
	}
	return "content " + string(content)
}
