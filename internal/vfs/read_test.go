package vfs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
)

func TestAFileThatIsTooLongIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := vfs.ReadFile(vfs.OS{}, path, 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := vfs.ReadFile(vfs.OS{}, path, 4); err != nil || string(b) != "four" {
		t.Errorf("got %q, %v", b, err)
	}
	if b, err := vfs.ReadFile(vfs.OS{}, path, 3); !errors.Is(err, vfs.ErrTooLong) {
		t.Errorf("one byte too long: %q, %v", b, err)
	}
}
