package filestorage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Data.fs that is a symbolic link to a file which does not exist makes that file, as ZODB does; where it must exist,
// or cannot be made, the error says where the link leads.
func TestALinkToNoFileMakesTheFile(t *testing.T) {
	dir := t.TempDir()
	link, target := filepath.Join(dir, "Data.fs"), filepath.Join(dir, "volume", "Real.fs")
	if err := os.Symlink("volume/Real.fs", link); err != nil {
		t.Fatal(err)
	}
	for _, mustExist := range []bool{false, true} {
		_, err := Open(t.Context(), link, Options{MustExist: mustExist})
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), target) {
			t.Errorf("without its folder, must exist %v: %v", mustExist, err)
		}
	}
	if err := os.Mkdir(filepath.Dir(target), 0o777); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, link, Options{})
	tid := commit(t, s, 1, 0, "data")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	s = mustOpen(t, target, Options{MustExist: true})
	defer s.Close()
	if s.LastTid() != tid {
		t.Errorf("the file has %v as its last transaction, not %v", s.LastTid(), tid)
	}
}
