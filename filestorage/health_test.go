package filestorage

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// leave leaves so many bytes on a disk.
func leave(t *testing.T, disk *simdisk.Disk, room int64) {
	t.Helper()
	disk.SetCapacity(1 << 40)
	free, err := vfs.Free(disk, ".")
	must(t, err)
	disk.SetCapacity(1<<40 - free + room)
}

// A storage on which nobody commits finds out that its disk is full, and that it is so no longer, and its file does not
// change by that.
func TestAnIdleStorageFindsOutThatItsDiskIsFull(t *testing.T) {
	disk, now := simdisk.New(), time.Unix(1e9, 0)
	s := mustOpen(t, "Data.fs", Options{FS: disk, Now: func() time.Time { return now }})
	last := commit(t, s, 0, 0, "the root")
	before, ops := bytesOn(t, disk, "Data.fs"), len(disk.Ops())
	must(t, s.TryRoom())
	if n := len(disk.Ops()); n != ops {
		t.Errorf("%d operations where there is room enough", n-ops)
	}
	leave(t, disk, 1<<20)
	must(t, s.TryRoom(), s.Ailment())
	leave(t, disk, 100)
	for range fullTries {
		if err := s.TryRoom(); !noRoom(err) {
			t.Errorf("a try: %v", err)
		}
		now = now.Add(fullFor)
	}
	var full *FullError
	if err := s.Ailment(); !errors.As(err, &full) {
		t.Errorf("ails by %v", err)
	}
	if bytesOn(t, disk, "Data.fs") != before || s.LastTid() != last {
		t.Error("the file is another")
	}
	disk.SetCapacity(0)
	must(t, s.TryRoom(), s.Ailment())
	if bytesOn(t, disk, "Data.fs") != before {
		t.Error("the file is another")
	}
	commit(t, s, 0, last, "there is room")
	must(t, s.Close())
}

// While somebody commits it is not for a try to find out.
func TestATryForRoomWaitsForNobody(t *testing.T) {
	disk := simdisk.New()
	s := mustOpen(t, "Data.fs", Options{FS: disk})
	leave(t, disk, 1<<20)
	txn := completed(t, s, 1)
	must(t, s.TryRoom(), txn.Abort(), s.TryRoom(), s.Close())
}

// bytesOn is the content of a file on a disk.
func bytesOn(t *testing.T, disk vfs.FS, path string) string {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	return readAll(t, io.NewSectionReader(f, 0, info.Size()), info.Size())
}
