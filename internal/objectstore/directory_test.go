package objectstore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// TestACrashLeavesAnObjectWholeOrAbsent stops the disk before each operation of two Puts. What Put has acknowledged is
// there after any crash; the rest is whole or absent, and a later Put succeeds.
func TestACrashLeavesAnObjectWholeOrAbsent(t *testing.T) {
	contents := map[string][]byte{"blobs/1/a.blob": noise(3000), "blobs/2/b.blob": noise(5000)}
	for n := 1; ; n++ {
		disk := simdisk.New()
		if err := disk.Mkdir("/store", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := disk.SyncDir("/"); err != nil {
			t.Fatal(err)
		}
		disk.PowerOffAt(n)
		done := map[string]bool{}
		var failed error
		s, err := objectstore.Open(t.Context(), "file:///store", objectstore.Options{FS: disk, Attempts: 1})
		if err == nil {
			for key, content := range contents {
				if _, failed = s.Put(t.Context(), key, bytes.NewReader(content)); failed != nil {
					break
				}
				done[key] = true
			}
		}
		for seed := range uint64(12) {
			checkAfterCrash(t, disk.Crash(seed), contents, done)
		}
		if err == nil && failed == nil {
			return
		}
	}
}

func checkAfterCrash(t *testing.T, disk *simdisk.Disk, contents map[string][]byte, done map[string]bool) {
	t.Helper()
	s := open(t, "file:///store", objectstore.Options{FS: disk})
	for key, content := range contents {
		_, err := s.Stat(t.Context(), key)
		switch {
		case err == nil:
			if got := get(t, s, key, 0, -1); !bytes.Equal(got, content) {
				t.Errorf("%s has %d other bytes after a crash", key, len(got))
			}
		case done[key] || !errors.Is(err, objectstore.ErrNotExist):
			t.Errorf("%s after a crash: %v", key, err)
		}
		put(t, s, key, content)
	}
}

// TestADirectoryThatWasReplacedSaysNothingOfItsObjects: an unmounted file system leaves an empty folder.
func TestADirectoryThatWasReplacedSaysNothingOfItsObjects(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mounted")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, "file://"+dir, quick)
	put(t, s, "object", noise(10))
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	mustBeAway(t, s)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mustBeAway(t, s)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the mount point has %v %v", entries, err)
	}
	if _, err := objectstore.Open(t.Context(), "file://"+dir+".none", quick); err == nil {
		t.Error("a directory that does not exist was opened")
	}
}

func mustBeAway(t *testing.T, s *objectstore.Store) {
	t.Helper()
	_, err := s.Stat(t.Context(), "object")
	if !errors.Is(err, objectstore.ErrAway) {
		t.Errorf("stat: %v", err)
	}
	if _, err := s.Put(t.Context(), "new/object", bytes.NewReader(nil)); !errors.Is(err, objectstore.ErrAway) {
		t.Errorf("put: %v", err)
	}
	for _, err := range s.List(t.Context(), "") {
		if !errors.Is(err, objectstore.ErrAway) {
			t.Errorf("list: %v", err)
		}
	}
}

// A folder that is a link to nothing takes no object, however often it is tried.
func TestAFolderBelowALinkToNothingIsAnError(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink(filepath.Join(root, "away"), filepath.Join(root, "blobs")); err != nil {
		t.Fatal(err)
	}
	s := open(t, "file://"+root, objectstore.Options{Attempts: 1})
	if _, err := s.Put(t.Context(), "blobs/1f/2.blob", bytes.NewReader([]byte("x"))); err == nil {
		t.Error("an object was put there")
	}
}
