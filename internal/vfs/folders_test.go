package vfs_test

import (
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
)

func TestFoldersContainWhatIsBelowThem(t *testing.T) {
	var f vfs.Folders
	if f.Contain("a/b") {
		t.Error("none contain something")
	}
	f.Add("a")
	f.Add("b/c")
	for path, want := range map[string]bool{
		"a/b": true, "a/b/c": true, "b/c/d": true, "a": false, "ab/c": false, "b/d": false,
	} {
		if f.Contain(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
