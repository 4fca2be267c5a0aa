package vfs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A copy is born later than the original, also when it is written into the file of an older one.
func TestWhenAFileWasBorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	var st unix.Statx_t
	born := func() int64 {
		f, err := OS{}.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		return Born(f)
	}
	first := born()
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &st); err != nil {
		t.Fatal(err)
	}
	if known := st.Mask&unix.STATX_BTIME != 0; known != (first != 0) {
		t.Fatalf("the disk knows it: %v, and it is %d", known, first)
	}
	if again := born(); again != first {
		t.Errorf("a file that is written again is born %d, was %d", again, first)
	}
}
