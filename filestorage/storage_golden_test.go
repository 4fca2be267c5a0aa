package filestorage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/zodb"
)

// damaged are the fixtures that no reader opens as they are.
var damaged = map[string]bool{"corrupt-length": true}

// openFixture opens a copy of a fixture, with its blobs if it has any.
func openFixture(tb testing.TB, name string, opt Options) *Storage {
	tb.Helper()
	dir := tb.TempDir()
	copyTree(tb, filepath.Join(fixtures, name), dir)
	if _, err := os.Stat(filepath.Join(dir, "blobs")); err == nil {
		opt.Blobs = openBlobs(tb, filepath.Join(dir, "blobs"))
	}
	return mustOpen(tb, filepath.Join(dir, "Data.fs"), opt)
}

func copyTree(tb testing.TB, from, to string) {
	tb.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		tb.Fatal(err)
	}
}

func openBlobs(tb testing.TB, dir string) *blobstore.Store {
	tb.Helper()
	b, err := blobstore.Open(dir, blobstore.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func mustOpen(tb testing.TB, path string, opt Options) *Storage {
	tb.Helper()
	if opt.Logger == nil {
		opt.Logger = hclog.New(&hclog.LoggerOptions{Output: testLog{tb}})
	}
	s, err := Open(tb.Context(), path, opt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// testLog sends a storage's log to the test's.
type testLog struct{ testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if l.Context().Err() == nil {
		l.Logf("%s", b)
	}
	return len(b), nil
}

// Every fixture opens, with its index and without, writing or not, to the same end, last tid and entries that the real
// ZODB finds; and the index that Close saves equals ZODB's.
func TestOpenFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		name := filepath.Base(dir)
		if damaged[name] {
			t.Skip("see TestOpenDamaged")
		}
		for _, c := range []struct {
			how      string
			readOnly bool
			index    bool
		}{
			{"as it is", false, true}, {"scanned", false, false},
			{"read-only", true, true}, {"read-only, scanned", true, false},
		} {
			t.Run(c.how, func(t *testing.T) {
				to := t.TempDir()
				copyTree(t, dir, to)
				path := filepath.Join(to, "Data.fs")
				if !c.index {
					os.Remove(path + ".index")
				}
				s := mustOpen(t, path, Options{ReadOnly: c.readOnly})
				checkOpened(t, s, want)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if !c.readOnly && want.IndexFile != nil && want.IndexFile.Canonical {
					sameFile(t, path+".index", filepath.Join(dir, "Data.fs.index"))
				}
				if c.readOnly {
					sameFile(t, path, filepath.Join(dir, "Data.fs"))
				}
			})
		}
	})
}

func checkOpened(t *testing.T, s *Storage, want *expectation) {
	t.Helper()
	if s.Size() != want.End || s.LastTid() != want.LastTid || s.Len() != len(want.Index) {
		t.Errorf("end %d, last tid %v, %d objects; want %d, %v, %d",
			s.Size(), s.LastTid(), s.Len(), want.End, want.LastTid, len(want.Index))
	}
	if diff := cmp.Diff(want.Index, maps.Collect(s.index.all())); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	if last := slices.Max(append(slices.Collect(maps.Keys(want.Index)), 0)); s.NewOid() != last+1 {
		t.Errorf("a new oid is not the one above %v", last)
	}
}

func sameFile(t *testing.T, got, want string) {
	t.Helper()
	g, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("%s differs from %s (-want +got):\n%s", got, want, diff)
	}
}

// An answer is what the real ZODB answered to a read: data as their digest, or the name of an error.
type answer struct {
	Oid    zodb.Oid
	Before zodb.Tid
	Serial zodb.Tid
	Result *answer

	In  *zodb.Oid `json:"next_in"`
	Out *zodb.Oid `json:"next_out"`
	// Where ZODB's own answer is wrong.
	OutRight json.RawMessage `json:"next_out_right"`

	Tid   zodb.Tid
	End   *zodb.Tid
	Sum   string `json:"sha256"`
	Error string
}

// apiAnswers is the api section of an expected.json.
type apiAnswers struct {
	Len        int
	Size       int64    `json:"getSize"`
	Last       zodb.Tid `json:"lastTransaction"`
	Load       map[zodb.Oid]answer
	LoadBefore []answer
	LoadSerial []answer
	History    map[zodb.Oid][][2]any
	LastThree  [][2]any `json:"lastInvalidations_3"`
	RecordNext []answer `json:"record_iternext"`
}

// Every fixture answers all read methods as the real ZODB does.
func TestReadFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, _ *expectation) {
		t.Helper()
		var want struct{ API *apiAnswers }
		readJSON(t, filepath.Join(dir, "expected.json"), &want)
		if want.API == nil {
			t.Skip("ZODB was not asked")
		}
		s := openFixture(t, filepath.Base(dir), Options{ReadOnly: true})
		if s.Len() != want.API.Len || s.Size() != want.API.Size || s.LastTid() != want.API.Last {
			t.Errorf("%d objects, end %d, last tid %v", s.Len(), s.Size(), s.LastTid())
		}
		checkLoads(t, s, want.API)
		checkHistory(t, s, want.API)
		checkRecordNext(t, s, want.API)
	})
}

func checkLoads(t *testing.T, s *Storage, want *apiAnswers) {
	t.Helper()
	for oid, w := range want.Load {
		data, tid, err := s.Load(oid)
		compareAnswer(t, &w, data, tid, err)
		if got, err := s.GetTid(oid); w.Error == "" && (err != nil || got != w.Tid) {
			t.Errorf("GetTid(%v) = %v, %v; want %v", oid, got, err, w.Tid)
		}
	}
	for _, w := range want.LoadSerial {
		data, err := s.LoadSerial(w.Oid, w.Serial)
		compareAnswer(t, &w, data, 0, err)
		part := make([]byte, len(data)/2+2)
		n, size, e := s.ReadRevision(part, w.Oid, w.Serial, int64(len(data)/2))
		if err == nil && (size != int64(len(data)) || string(part[:n]) != string(data[len(data)/2:])) || e == nil {
			t.Errorf("the second half of %v at %v is %q of %d bytes, %v", w.Oid, w.Serial, part[:n], size, e)
		}
		if err != nil && fmt.Sprint(e) != fmt.Sprint(err) {
			t.Errorf("the second half of %v at %v fails with %v, and all of it with %v", w.Oid, w.Serial, e, err)
		}
	}
	for _, w := range want.LoadBefore {
		rev, err := s.LoadBefore(w.Oid, w.Before)
		switch {
		case w.Error != "":
			compareAnswer(t, &w, nil, 0, err)
		case w.Result == nil || rev == nil:
			if rev != nil || w.Result != nil || err != nil {
				t.Errorf("LoadBefore(%v, %v) = %v, %v; want %v", w.Oid, w.Before, rev, err, w.Result)
			}
		default:
			compareAnswer(t, w.Result, rev.Data, rev.Tid, err)
			if end := w.Result.End; end == nil && rev.Next != 0 || end != nil && rev.Next != *end {
				t.Errorf("LoadBefore(%v, %v): next is %v, want %v", w.Oid, w.Before, rev.Next, end)
			}
		}
	}
}

func compareAnswer(t *testing.T, want *answer, data []byte, tid zodb.Tid, err error) {
	t.Helper()
	var key *zodb.POSKeyError
	if want.Error != "" {
		if want.Error != "POSKeyError" || !errors.As(err, &key) {
			t.Errorf("oid %v: %v, want %s", want.Oid, err, want.Error)
		}
		return
	}
	if sum := sha256.Sum256(data); err != nil || tid != want.Tid || hex.EncodeToString(sum[:]) != want.Sum {
		t.Errorf("oid %v: %q, tid %v, %v; want %+v", want.Oid, data, tid, err, want)
	}
}

func checkHistory(t *testing.T, s *Storage, want *apiAnswers) {
	t.Helper()
	for oid, w := range want.History {
		entries, err := s.History(oid, 1000)
		if err != nil {
			t.Error(err)
		}
		var got [][2]any
		for _, e := range entries {
			got = append(got, [2]any{e.Tid.String(), float64(e.Size)})
		}
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("history of %v (-want +got):\n%s", oid, diff)
		}
		if one, err := s.History(oid, 1); err != nil || len(one) != 1 || one[0].Tid != entries[0].Tid {
			t.Errorf("the last revision of %v is %v, %v", oid, one, err)
		}
	}
	list, err := s.LastInvalidations(3)
	if err != nil {
		t.Error(err)
	}
	got := [][2]any{}
	for _, inv := range list {
		oids := []any{}
		for _, oid := range inv.Oids {
			oids = append(oids, oid.String())
		}
		got = append(got, [2]any{inv.Tid.String(), oids})
	}
	if diff := cmp.Diff(want.LastThree, got); diff != "" {
		t.Errorf("last invalidations (-want +got):\n%s", diff)
	}
}

func checkRecordNext(t *testing.T, s *Storage, want *apiAnswers) {
	t.Helper()
	for _, w := range want.RecordNext {
		_, tid, data, next, err := s.RecordNext(w.In)
		if w.Error == "ValueError" {
			if !errors.Is(err, io.EOF) {
				t.Errorf("after the last object: %v", err)
			}
			continue
		}
		compareAnswer(t, &w, data, tid, err)
		if w.OutRight != nil {
			w.Out = nil
			if err := json.Unmarshal(w.OutRight, &w.Out); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(w.Out, next); diff != "" && w.Error == "" {
			t.Errorf("after %v comes (-want +got):\n%s", w.In, diff)
		}
	}
}

// Metadata of the history are those of the transactions.
func TestHistoryMetadata(t *testing.T) {
	s := openFixture(t, "metadata", Options{ReadOnly: true})
	it, err := s.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	metas := map[zodb.Tid][3]string{}
	for txn, err := it.Next(t.Context()); err == nil; txn, err = it.Next(t.Context()) {
		m := txn.Meta()
		metas[m.Tid] = [3]string{string(m.User), string(m.Description), string(m.Extension)}
	}
	for oid := range s.index.all() {
		entries, err := s.History(oid, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			got := [3]string{string(e.User), string(e.Description), string(e.Extension)}
			if diff := cmp.Diff(metas[e.Tid], got); diff != "" {
				t.Errorf("oid %v tid %v (-want +got):\n%s", oid, e.Tid, diff)
			}
		}
	}
}

// A missing file, a read-only one that is missing, and an unknown object have the errors that callers look for.
func TestErrorsOfReading(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	for _, opt := range []Options{{ReadOnly: true}, {MustExist: true}} {
		if _, err := Open(t.Context(), path, opt); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
	s := openFixture(t, "one-txn", Options{})
	var key *zodb.POSKeyError
	_, _, err := s.Load(77)
	if !errors.As(err, &key) || key.Oid != 77 {
		t.Errorf("Load: %v", err)
	}
	if _, err = s.LoadBefore(77, zodb.MaxTid); !errors.As(err, &key) {
		t.Errorf("LoadBefore: %v", err)
	}
	if _, err = s.History(77, 1); !errors.As(err, &key) {
		t.Errorf("History: %v", err)
	}
	if _, err = s.OpenBlob(0, s.LastTid()); !errors.As(err, &key) || !key.Blob {
		t.Errorf("OpenBlob: %v", err)
	}
}
