package secondary

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs"
)

func read(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// committed returns the bytes of the Data.fs that are visible.
func (s *site) committed(t *testing.T) []byte {
	t.Helper()
	end := s.st.Size()
	return read(t, s.fs, s.data())[:end]
}

// blobs returns the digests of the published blobs by path.
func (s *site) blobs(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := s.fs.ReadDir(path.Join(s.dir, "blobs", dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			switch name := path.Join(dir, e.Name()); {
			case e.Name()[0] == '.', name == "tmp": // a marker, what a recovery set aside, what is being received
			case e.IsDir():
				walk(name)
			case path.Ext(name) == ".blob":
				found[name] = fmt.Sprintf("%x", sha256.Sum256(read(t, s.fs, path.Join(s.dir, "blobs", name))))
			}
		}
	}
	walk("")
	return found
}

// mustEqual checks that two sites have the same bytes.
func mustEqual(t *testing.T, want, got *site) {
	t.Helper()
	a, b := want.committed(t), got.committed(t)
	if !bytes.Equal(a, b) {
		t.Errorf("Data.fs differs at %d: %d bytes, want %d", firstDifference(a, b), len(b), len(a))
	}
	if diff := cmp.Diff(want.blobs(t), got.blobs(t)); diff != "" {
		t.Errorf("blobs differ: %s", diff)
	}
}

// mustBePrefix checks that what is visible of got is a beginning of what want has, and that its blobs are there.
func mustBePrefix(t *testing.T, want, got *site) {
	t.Helper()
	a, b := want.committed(t), got.committed(t)
	if !bytes.HasPrefix(a, b) {
		t.Errorf("what is visible differs at %d, of %d bytes", firstDifference(a, b), len(b))
	}
	for name, digest := range got.blobs(t) {
		if want.blobs(t)[name] != digest {
			t.Errorf("blob %s is not the primary's", name)
		}
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
