package vfs

import (
	"path/filepath"
	"testing"
)

func TestAPathHasOneSpelling(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		"": "", "blobs": "blobs", "blobs/": "blobs", "./blobs": "blobs", ".//blobs//": "blobs", "x/../blobs": "blobs",
		"../blobs/": "../blobs", "/srv//x/../blobs/.": "/srv/blobs", "/": "/",
		".": here, "./": here, "..": filepath.Dir(here), "x/..": here,
	} {
		if got := CleanPath(given); got != want {
			t.Errorf("%q became %q, not %q", given, got, want)
		}
	}
}
