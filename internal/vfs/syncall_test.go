package vfs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhichKernelsTellWhatSyncfsFailedOf(t *testing.T) {
	for release, want := range map[string]bool{
		"5.8.0": true, "5.10.0-28-amd64": true, "6.1.0": true, "7.0": true, "5.7.19": false, "4.19.0-26": false,
		"3.10.0": false, "": false, "unknown": false,
	} {
		if got := tellsFailures(release); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}

func TestFilesOfOneFolderAreOnOneDiskAndThoseOfProcAreNot(t *testing.T) {
	dir := t.TempDir()
	f, err := OS{}.OpenFile(filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err1 := f.Stat()
	folder, err2 := OS{}.Stat(dir)
	other, err3 := OS{}.Stat("/proc")
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	if !SameDisk(file, folder) || SameDisk(file, other) {
		t.Errorf("%v, %v", SameDisk(file, folder), SameDisk(file, other))
	}
}

// Where all can be synced at a time, that is done; a file system of which it is not known is not asked.
func TestAFileSystemIsSyncedWhereThatIsKnownToWork(t *testing.T) {
	disk := OS{}
	dir, err := disk.OpenFile(t.TempDir(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if disk.SyncsAll(dir) {
		if err := disk.SyncAll(dir); err != nil {
			t.Error(err)
		}
	}
	proc, err := disk.OpenFile("/proc", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	if disk.SyncsAll(proc) {
		t.Error("it would rely on syncfs of /proc")
	}
}
