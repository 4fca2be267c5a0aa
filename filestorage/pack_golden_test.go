package filestorage

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/zodb"
)

// toyReferences also finds the references in records that are no pickles: root|1|2 refers to oids 1 and 2.
func toyReferences(record []byte, oids []zodb.Oid) ([]zodb.Oid, error) {
	if bytes.HasPrefix(record, []byte{0x80}) {
		return new(references.Scanner).Scan(record, oids)
	}
	for _, field := range strings.Split(string(record), "|")[1:] {
		field, _, _ = strings.Cut(field, " ")
		if oid, err := strconv.ParseUint(field, 10, 64); err == nil {
			oids = append(oids, zodb.Oid(oid))
		}
	}
	return oids, nil
}

// A pack of what a fixture was before its last one makes the file, the blobs and the old blobs that ZODB's made.
func TestPackFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, _ *expectation) {
		t.Helper()
		before := lastBefore(dir)
		if before == "" {
			t.Skip("it was not packed")
		}
		var want struct {
			Packs []struct {
				StopTid zodb.Tid `json:"stop_tid"`
				GC      bool
			}
			Blobs    []expectedBlob
			BlobsOld []expectedBlob `json:"blobs_old"`
		}
		readJSON(t, filepath.Join(dir, "expected.json"), &want)
		to := t.TempDir()
		opt := Options{}
		copyFile(t, filepath.Join(dir, before), filepath.Join(to, "Data.fs"))
		if blobs := strings.Replace(before, "Data.fs", "blobs", 1); exists(filepath.Join(dir, blobs)) {
			copyTree(t, filepath.Join(dir, blobs), filepath.Join(to, "blobs"))
			opt.Blobs = openBlobs(t, filepath.Join(to, "blobs"))
		}
		s := mustOpen(t, filepath.Join(to, "Data.fs"), opt)
		old := mustRead(t, s.Path())
		pack := want.Packs[len(want.Packs)-1]
		packing := PackOptions{GC: pack.GC, KeepOld: true}
		if !strings.HasPrefix(filepath.Base(dir), "plone") {
			packing.References = toyReferences
		}
		if r, err := s.Pack(t.Context(), pack.StopTid, packing); err != nil || !r.Packed {
			t.Fatal(r, err)
		}
		packed := mustRead(t, filepath.Join(dir, "Data.fs"))
		if got := mustRead(t, s.Path()); !bytes.HasPrefix(packed, got) {
			t.Errorf("bytes differ at %d", differAt(packed, got))
		}
		if !bytes.Equal(mustRead(t, s.Path()+".old"), old) {
			t.Error("the old file was not kept")
		}
		if len(want.BlobsOld) > 0 {
			checkBlobFiles(t, filepath.Join(to, "blobs.old"), want.BlobsOld)
			checkBlobFiles(t, filepath.Join(to, "blobs"), slices.DeleteFunc(want.Blobs, func(b expectedBlob) bool {
				return b.Tid > s.LastTid()
			}))
		}
	})
}

// lastBefore returns the name of the file before a fixture's last pack, "" when there was none.
func lastBefore(dir string) (name string) {
	for _, n := range []string{"Data.fs.before", "Data.fs.before2"} {
		if exists(filepath.Join(dir, n)) {
			name = n
		}
	}
	return name
}

// differAt returns the first offset at which a and b differ.
func differAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	if err := os.WriteFile(to, mustRead(tb, from), 0o666); err != nil {
		tb.Fatal(err)
	}
}

// checkBlobFiles compares the blob files below a directory with those that ZODB left.
func checkBlobFiles(t *testing.T, dir string, want []expectedBlob) {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".blob") {
			below, _ := filepath.Rel(dir, path)
			files[below] = digest(mustRead(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	expected := map[string]string{}
	for _, b := range want {
		expected[b.Path] = b.Sum
	}
	if diff := cmp.Diff(expected, files); diff != "" {
		t.Errorf("files in %s (-want +got):\n%s", dir, diff)
	}
}
