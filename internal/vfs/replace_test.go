package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

func replace(disk vfs.FS, path, content string) error {
	return vfs.WriteFileAtomic(disk, path, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt([]byte(content), 0)
		return err
	})
}

func contentOf(t *testing.T, disk vfs.FS, path string) string {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<10))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestACrashLeavesTheOldFileOrTheNewOne(t *testing.T) {
	for stop := 1; ; stop++ {
		done := false
		for seed := range uint64(20) {
			disk := simdisk.New()
			if err := replace(disk, "file", "the old content"); err != nil {
				t.Fatal(err)
			}
			disk.PowerOffAt(len(disk.Ops()) + stop)
			done = replace(disk, "file", "new") == nil
			if left := contentOf(t, disk.Crash(seed), "file"); left != "new" && (done || left != "the old content") {
				t.Errorf("stopped at operation %d, seed %d, done %v: %q is left", stop, seed, done, left)
			}
		}
		if done {
			return
		}
	}
}

func TestNothingIsWrittenThroughALink(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	if err := errors.Join(os.WriteFile(other, []byte("theirs"), 0o600), os.Symlink(other, path+".tmp")); err != nil {
		t.Fatal(err)
	}
	if err := replace(vfs.OS{}, path, "ours"); err != nil {
		t.Fatal(err)
	}
	if a, b := contentOf(t, vfs.OS{}, path), contentOf(t, vfs.OS{}, other); a != "ours" || b != "theirs" {
		t.Errorf("the file has %q, and what the link led to %q", a, b)
	}
	if _, err := os.Lstat(path + ".tmp"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file that was written first is left: %v", err)
	}
}

func TestAFailedWriteLeavesTheOldFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := replace(vfs.OS{}, path, "old"); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no room")
	err := vfs.WriteFileAtomic(vfs.OS{}, path, ".tmp", func(vfs.File) error { return full })
	if !errors.Is(err, full) || contentOf(t, vfs.OS{}, path) != "old" {
		t.Errorf("error %v, the file has %q", err, contentOf(t, vfs.OS{}, path))
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// A readOnlyDisk refuses what changes it before it looks whether there is such a file, as Linux does.
type readOnlyDisk struct{ vfs.FS }

func (d readOnlyDisk) Remove(path string) error {
	return &fs.PathError{Op: "remove", Path: path, Err: syscall.EROFS}
}

func (d readOnlyDisk) OpenFile(path string, _ int, _ fs.FileMode) (vfs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EROFS}
}

// What could not be made counts, and not that it could not be removed either.
func TestAReadOnlyDiskIsNotBlamedForWhatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	disk := readOnlyDisk{vfs.OS{}}
	err := replace(disk, path, "new")
	if !errors.Is(err, syscall.EROFS) || strings.Contains(err.Error(), "remove") ||
		strings.Count(err.Error(), "file.tmp") != 1 {
		t.Errorf("got %q", err)
	}
	if err := replace(vfs.OS{}, path, "is there"); err != nil {
		t.Fatal(err)
	}
	if err := vfs.RemoveIfThere(disk, path); !errors.Is(err, syscall.EROFS) {
		t.Errorf("of a file that is there: %v", err)
	}
}
