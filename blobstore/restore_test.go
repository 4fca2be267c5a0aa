package blobstore

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func accept() error { return nil }

// A crash at any step of Restore leaves the blob whole or absent, and once it has returned the blob is there for
// certain.
func TestACrashLeavesARestoredBlobWholeOrAbsent(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 100)
	for _, layout := range []string{Bushy, Lawn} {
		for n := 1; ; n++ {
			disk := simdisk.New()
			s := open(t, "db/blobs", Options{FS: disk, Layout: layout})
			disk.PowerOffAt(len(disk.Ops()) + n)
			err := s.Restore(1, 2, bytes.NewReader(content), accept)
			var done []zodb.Tid
			if err == nil {
				done = []zodb.Tid{2}
			}
			for seed := range uint64(12) {
				checkAfterCrash(t, disk.Crash(seed), "db/blobs", done, content)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, simdisk.ErrPowerLoss) {
				t.Fatal(err)
			}
		}
	}
}

// Restore never takes the place of a file, and leaves nothing where it has refused.
func TestRestoreReplacesNothing(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	b := stage(t, s, 1, 2, []byte("first"))
	if err := errors.Join(b.Sync(), b.Publish(), b.SyncDir()); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(1, 2, strings.NewReader("second"), accept); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	wrong := errors.New("wrong")
	if err := s.Restore(1, 3, strings.NewReader("x"), func() error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
	entries, err := s.fs.ReadDir(s.Folders(1)[0])
	if err != nil || len(entries) != 1 {
		t.Errorf("in the folder there is %v, %v", entries, err)
	}
	if size, err := s.Stat(1, 2); err != nil || size != int64(len("first")) {
		t.Errorf("the blob has %d bytes now, %v", size, err)
	}
}
