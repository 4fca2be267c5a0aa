package integration

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
)

// committed returns how many bytes of the site's Data.fs a reader sees: everything before an interrupted tail.
func committed(t *testing.T, s *site) int64 {
	t.Helper()
	if _, err := os.Stat(s.data); os.IsNotExist(err) {
		return 0
	}
	storage, err := filestorage.Open(t.Context(), s.data, filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer storage.Close()
	return storage.Size()
}

// mustBePrefix expects that what a reader sees in part is what whole begins with, and that each blob in part is the
// same in whole. No process works on part. It returns the number of bytes.
func mustBePrefix(t *testing.T, part, whole *site) int64 {
	t.Helper()
	n := committed(t, part)
	if n == 0 {
		return 0
	}
	if !bytes.Equal(head(t, part.data, n), head(t, whole.data, n)) {
		t.Fatalf("the %d visible bytes of %s are not what %s begins with", n, part.data, whole.data)
	}
	if part.blobs != "" {
		for name := range blobFiles(t, part.blobs) {
			compareFiles(t, filepath.Join(part.blobs, name), filepath.Join(whole.blobs, name))
		}
	}
	return n
}

// sizeOf returns the bytes in the site's Data.fs and blobs.
func sizeOf(t *testing.T, s *site) int64 {
	t.Helper()
	total := committed(t, s)
	for name := range blobFiles(t, s.blobs) {
		info, err := os.Stat(filepath.Join(s.blobs, name))
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

func head(t *testing.T, path string, n int64) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, n))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
