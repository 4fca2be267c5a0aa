package integration

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
)

// A site is one storage in a folder of its own, on one of the machines of a story.
type site struct {
	dir   string
	data  string
	blobs string // empty: no blob directory
}

// newSite makes an empty folder with a short path, because sockets live in it too.
func newSite(t *testing.T, withBlobs bool) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "zrsd") //nolint:usetesting // t.TempDir makes paths that are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{dir: dir, data: filepath.Join(dir, "Data.fs")}
	if withBlobs {
		s.blobs = filepath.Join(dir, "blobs")
	}
	return s
}

// flags names the storage on zrsd's command line, and args on a script's.
func (s *site) flags() []string {
	if s.blobs == "" {
		return []string{"--data", s.data}
	}
	return []string{"--data", s.data, "--blobs", s.blobs}
}

func (s *site) args() []string {
	if s.blobs == "" {
		return []string{s.data}
	}
	return []string{s.data, s.blobs}
}

// open opens the storage in this process, as its owner.
func (s *site) open(t *testing.T) *filestorage.Storage {
	t.Helper()
	storage, err := workload.Open(t.Context(), s.data, s.blobs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { storage.Close() })
	return storage
}

// mustBeIdentical compares two sites byte for byte: the Data.fs, and every blob that either has.
func mustBeIdentical(t *testing.T, a, b *site) {
	t.Helper()
	compareFiles(t, a.data, b.data)
	if a.blobs == "" || b.blobs == "" {
		return
	}
	left, right := blobFiles(t, a.blobs), blobFiles(t, b.blobs)
	for name := range left {
		if !right[name] {
			t.Errorf("blob %s is missing in %s", name, b.blobs)
			continue
		}
		compareFiles(t, filepath.Join(a.blobs, name), filepath.Join(b.blobs, name))
	}
	for name := range right {
		if !left[name] {
			t.Errorf("blob %s in %s has no match", name, b.blobs)
		}
	}
}

func compareFiles(t *testing.T, a, b string) {
	t.Helper()
	left, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	right, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(left, right) {
		return
	}
	n := 0
	for n < min(len(left), len(right)) && left[n] == right[n] {
		n++
	}
	t.Fatalf("%s (%d bytes) and %s (%d bytes) differ from offset %d", a, len(left), b, len(right), n)
}

// blobFiles lists the blobs below dir by relative path. Temporary files and what a recovery has put aside, in folders
// with a dot, are not the database's.
func blobFiles(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != dir && (d.Name() == "tmp" || strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".blob") {
			name, err := filepath.Rel(dir, path)
			found[name] = true
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// mustBeSound lets zrsd check look at the site; mustAgree lets zrsd compare look at two.
func mustBeSound(t *testing.T, s *site) {
	t.Helper()
	args := []string{"check", s.data}
	if s.blobs != "" {
		args = append(args, "--blobs", s.blobs)
	}
	mustRun(t, args...)
}

func mustAgree(t *testing.T, a, b *site) {
	t.Helper()
	args := []string{"compare", a.data, b.data}
	if a.blobs != "" && b.blobs != "" {
		args = append(args, "--blobs-a", a.blobs, "--blobs-b", b.blobs)
	}
	mustRun(t, args...)
}

// mustRun runs zrsd to its end and expects exit code 0.
func mustRun(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), zrsd, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("zrsd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
