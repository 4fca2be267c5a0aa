package blobstore

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A file without a name has its content for who has it open, and leaves nothing: neither in the directory, nor where
// its content does not come to its end.
func TestAFileWithoutANameLeavesNothing(t *testing.T) {
	disk := simdisk.New()
	s, err := Open("blobs", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("content. ", 100_000)
	f, err := s.Unnamed(1, 2, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("the other side is away")
	broken := io.MultiReader(strings.NewReader(content), iotest.ErrReader(lost))
	if _, err := s.Unnamed(1, 2, broken); !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
	if entries, err := disk.ReadDir("blobs/tmp"); err != nil || len(entries) > 0 {
		t.Errorf("tmp/ has %v, %v", entries, err)
	}
	if _, err := s.OpenBlob(1, 2); err == nil {
		t.Error("it is taken for a blob")
	}
	if got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30)); err != nil || string(got) != content {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	reader, err := Open("blobs", Options{FS: disk, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Unnamed(1, 2, strings.NewReader(content)); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("a reader got %v", err)
	}
}
