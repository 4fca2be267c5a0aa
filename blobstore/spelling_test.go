package blobstore

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// TestADirectoryMayBeSpelledInAnyWay commits a blob, and removes it in a pack that keeps the old ones, with each
// spelling of the same directory, through a symbolic link as well.
func TestADirectoryMayBeSpelledInAnyWay(t *testing.T) {
	for _, spelling := range []string{
		"blobs", "blobs/", "./blobs", ".//blobs/.", "sub/../blobs", "ABS/blobs//", "ABS/sub/../blobs", "link", "link/",
	} {
		t.Run(spelling, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			if err := os.Mkdir("blobs", 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("blobs", "link"); err != nil {
				t.Fatal(err)
			}
			s := open(t, strings.Replace(spelling, "ABS", dir, 1), Options{})
			publish(t, s, 1, 2, "content")
			if err := s.PlanRemoval(maps.All(map[zodb.Oid]zodb.Tid{1: 2}), true); err != nil {
				t.Fatal(err)
			}
			if err := s.FinishRemoval(t.Context(), notNeeded); err != nil {
				t.Fatal(err)
			}
			if empty, err := s.Empty(); !empty || err != nil {
				t.Errorf("blobs are left: %v, %v", empty, err)
			}
			old := open(t, s.Dir()+oldSuffix, Options{ReadOnly: true})
			if size, err := old.Stat(1, 2); size != 7 || err != nil {
				t.Errorf("beside the directory the old blob has %d bytes, %v", size, err)
			}
		})
	}
}

// TestFoldersAboveEndsForEverySpelling guards the walk itself: the spelling of the root cannot make it endless.
func TestFoldersAboveEndsForEverySpelling(t *testing.T) {
	for _, root := range []string{"blobs", "blobs/", "./blobs", "x/../blobs", "/", "/srv//blobs/", ".", "..", ""} {
		below := filepath.Join(root, "0x00", "0x01")
		list, err := foldersAbove(root, below)
		if err != nil || len(list) != 2 || list[0] != filepath.Join(root, "0x00") ||
			list[1] != filepath.Clean(root) {
			t.Errorf("above %s up to %q are %q, %v", below, root, list, err)
		}
	}
	if list, err := foldersAbove("blobs", "elsewhere/0x00"); err == nil {
		t.Errorf("a folder outside has %q above it", list)
	}
}
