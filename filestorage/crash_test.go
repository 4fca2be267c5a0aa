package filestorage

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

var update = flag.Bool("update", false, "rewrite the golden traces")

// The operations of each path of writes, in order. A sync that gets lost shows as a difference here.
func TestTraces(t *testing.T) {
	for _, s := range stories {
		if !s.trace {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			st := newStage(t, s)
			before := len(st.disk.Ops())
			s.play(st)
			if st.err != nil {
				t.Fatal(st.err)
			}
			var got strings.Builder
			for _, op := range st.disk.Ops()[before:] {
				fmt.Fprintln(&got, op)
			}
			st.end()
			file := filepath.Join("testdata", s.name+".trace")
			if *update {
				if err := os.WriteFile(file, []byte(got.String()), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(mustRead(t, file)), got.String()); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}

// After a power failure before any operation the storage opens; all that was acknowledged is there, with its blobs;
// what else is there is whole and in order; no blob is there without a record; and the storage goes on.
func TestPowerFailure(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			for n := 1; ; n++ {
				done := false
				for seed := range uint64(8) {
					st := play(t, s, n)
					done = st.err == nil
					crashed := st.disk.Crash(seed)
					st.end()
					if t.Failed() {
						return
					}
					checkCrashed(t, fmt.Sprintf("power off at operation %d, seed %d", n, seed), st, crashed)
				}
				if done {
					return
				}
			}
		})
	}
}

func checkCrashed(t *testing.T, when string, played *stage, disk *simdisk.Disk) {
	t.Helper()
	st := &stage{t: t, disk: disk, tried: played.tried}
	st.open()
	if st.err != nil {
		t.Fatalf("%s: %v", when, st.err)
	}
	defer st.end()
	found := contents(t, st.s)
	if len(found) < played.acked || len(found) > len(played.tried) {
		t.Fatalf("%s: %d transactions acknowledged, %d tried, %d found",
			when, played.acked, len(played.tried), len(found))
	}
	if diff := cmp.Diff(lines(played.tried[:len(found)]), lines(found)); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", when, diff)
	}
	checkNoStrayBlobs(t, when, st.s)
	checkIndexAgainstFile(t, when, st.s)
	st.tried = found
	st.commit(1, "life goes on", "")
	st.close()
	st.open()
	if st.err != nil {
		t.Fatalf("%s: going on: %v", when, st.err)
	}
	if diff := cmp.Diff(lines(st.tried), lines(contents(t, st.s))); diff != "" {
		t.Fatalf("%s: after going on (-want +got):\n%s", when, diff)
	}
}

func lines(list []string) string { return strings.Join(list, "\n") }

// contents lists the transactions of a storage as describe does.
func contents(t *testing.T, s *Storage) []string {
	t.Helper()
	it, err := s.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var list []string
	for {
		txn, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := txn.NextRecord(); !errors.Is(err, io.EOF); rec, err = txn.NextRecord() {
			if err != nil {
				t.Fatal(err)
			}
			data, blob := "", ""
			if rec.Data != nil {
				data = mustReadAll(t, rec.Data)
			}
			if rec.Blob != nil {
				blob = mustReadAll(t, rec.Blob)
			}
			list = append(list, describe(txn.Meta().Tid, rec.Oid, data, blob))
		}
	}
}

func mustReadAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func checkNoStrayBlobs(t *testing.T, when string, s *Storage) {
	t.Helper()
	err := s.blobs.(*blobstore.Store).Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, path string) error {
		if _, err := s.LoadSerial(oid, tid); err != nil {
			t.Errorf("%s: %s has no record: %v", when, path, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func checkIndexAgainstFile(t *testing.T, when string, s *Storage) {
	t.Helper()
	c := newScan(t.Context(), s.file, s.path, s.Size())
	if err := c.run(); err != nil || c.pos != s.Size() || c.last != s.LastTid() {
		t.Errorf("%s: scan ends at %d with tid %v, %v", when, c.pos, c.last, err)
	}
	want := slices.Collect(maps.Keys(maps.Collect(c.index.all())))
	slices.Sort(want)
	if diff := cmp.Diff(maps.Collect(c.index.all()), maps.Collect(s.index.all())); diff != "" {
		t.Errorf("%s: index of %v (-want +got):\n%s", when, want, diff)
	}
}
