package blobstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// A hookedDisk calls hook while a folder is being synced.
type hookedDisk struct {
	vfs.FS
	synced []string
	hook   func(dir string)
}

func (d *hookedDisk) SyncDir(dir string) error {
	d.synced = append(d.synced, dir)
	if d.hook != nil {
		d.hook(dir)
	}
	return d.FS.SyncDir(dir)
}

// hooked returns the folders of a blob directory on such a disk, with one folder in it.
func hooked(t *testing.T) (*hookedDisk, *folders) {
	t.Helper()
	disk := &hookedDisk{FS: simdisk.New()}
	f := newFolders(disk, "blobs")
	for _, err := range []error{f.makeRoot(), f.make(filepath.Join("blobs", "a", "one"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	disk.synced = nil
	return disk, f
}

// A slow sync of one folder keeps nobody from making and syncing another one.
func TestFoldersAreSyncedBesideEachOther(t *testing.T) {
	disk, f := hooked(t)
	other := filepath.Join("blobs", "b")
	disk.hook = func(string) {
		disk.hook = nil
		if err := f.make(other); err != nil {
			t.Error(err)
		}
		if err := f.sync(other); err != nil {
			t.Error(err)
		}
	}
	if err := f.sync(filepath.Join("blobs", "a", "one")); err != nil {
		t.Fatal(err)
	}
}

// A name that comes while its folder is being synced may not be on the disk: the folder is synced once more with it.
func TestANameThatComesDuringASyncIsSyncedAgain(t *testing.T) {
	disk, f := hooked(t)
	late := filepath.Join("blobs", "a", "late")
	disk.hook = func(dir string) {
		if dir == filepath.Join("blobs", "a") {
			disk.hook = nil
			if err := f.make(late); err != nil {
				t.Error(err)
			}
		}
	}
	if err := f.sync(filepath.Join("blobs", "a", "one")); err != nil {
		t.Fatal(err)
	}
	disk.synced = nil
	if err := f.sync(late); err != nil {
		t.Fatal(err)
	}
	if len(disk.synced) != 2 || disk.synced[1] != filepath.Join("blobs", "a") {
		t.Errorf("synced %q, want also the folder of the late name", disk.synced)
	}
	disk.synced = nil
	if err := f.sync(late); err != nil || len(disk.synced) != 1 {
		t.Errorf("synced again: %q, %v", disk.synced, err)
	}
	if len(f.syncing) != 0 {
		t.Errorf("left: %v", f.syncing)
	}
}

// Where a disk is not mounted a link may lead to nothing. Below it no folder can be made, however often it is tried.
func TestAFolderBelowALinkToNothingIsAnError(t *testing.T) {
	dir := t.TempDir()
	site := filepath.Join(dir, "site")
	if err := os.Symlink(filepath.Join(dir, "away"), site); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(site, "var", "blobs"), Options{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
