package blobstore

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
)

// An eager disk notes what it was told to begin with.
type eager struct {
	vfs.FS
	begun *[]int64 // of each part its beginning and its length
}

type eagerFile struct {
	vfs.File
	begun *[]int64
}

func (d eager) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return eagerFile{f, d.begun}, nil
}

func (f eagerFile) WriteBack(at, n int64) { *f.begun = append(*f.begun, at, n) }

func TestTheDiskBeginsWithALargeBlobWhileItIsReceived(t *testing.T) {
	var begun []int64
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir, Options{FS: eager{vfs.OS{}, &begun}})
	d, err := s.Draft()
	must(t, err)
	const parts, part = 9, 1<<20 + 1
	for range parts {
		if _, err := d.Write(make([]byte, part)); err != nil {
			t.Fatal(err)
		}
	}
	end := int64(0)
	for i := 0; i < len(begun); i += 2 {
		if at, n := begun[i], begun[i+1]; at != end || n < writeBackLen || n > writeBackLen+part {
			t.Errorf("the disk begins with %d bytes at %d, after what ends at %d", n, at, end)
		}
		end = begun[i] + begun[i+1]
	}
	if left := d.Size() - end; left < 0 || left >= writeBackLen {
		t.Errorf("%d bytes of %d are left for the sync", left, d.Size())
	}
	must(t, d.Discard())
}

func TestTheDiskIsNotToldToBeginWithASmallBlob(t *testing.T) {
	var begun []int64
	s := open(t, filepath.Join(t.TempDir(), "blobs"), Options{FS: eager{vfs.OS{}, &begun}})
	publishDraft(t, draftOf(t, s, "a small blob"), 1, 2)
	if len(begun) > 0 {
		t.Errorf("it was: %v", begun)
	}
	if got := contentOf(t, s, 1, 2); got != "a small blob" {
		t.Errorf("then there is %q", got)
	}
}
