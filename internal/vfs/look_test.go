package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// What a look tells is what Stat tells, but for the times.
func TestALookTellsWhatStatTellsWithoutTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := OS{}.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("content"), 0); err != nil {
		t.Fatal(err)
	}
	dir, err := Look(OS{}, filepath.Dir(path))
	if err != nil || !dir.IsDir() {
		t.Errorf("the folder: %v, %v", dir, err)
	}
	want, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for name, look := range map[string]func() (fs.FileInfo, error){
		"by path": func() (fs.FileInfo, error) { return Look(OS{}, path) },
		"by file": func() (fs.FileInfo, error) { return LookAt(f) },
	} {
		got, err := look()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Name() != "file" || got.Size() != want.Size() || got.Mode() != want.Mode() {
			t.Errorf("%s: %s, %d bytes, mode %v, want %v", name, got.Name(), got.Size(), got.Mode(), want.Mode())
		}
		if !SameFile(got, want) || !SameFile(want, got) || SameFile(got, dir) {
			t.Errorf("%s: it is not the same file, or the same as its folder", name)
		}
		if _, linux := f.(FileLooker); linux && !got.ModTime().IsZero() {
			t.Errorf("%s: a time %v was asked for", name, got.ModTime())
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := LookAt(f); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Look(OS{}, path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
}
