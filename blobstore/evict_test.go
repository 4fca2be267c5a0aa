package blobstore

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// With an evicted blob go the folders that become empty, and no other.
func TestFoldersGoWithTheLastBlobThatIsEvicted(t *testing.T) {
	for _, layout := range []string{Bushy, Lawn} {
		disk := simdisk.New()
		s, err := Open("/blobs", Options{FS: disk, Layout: layout})
		must(t, err)
		for _, r := range []revision{{1, 1}, {1, 2}, {0x100, 1}} {
			publish(t, s, r.oid, r.tid, "x")
		}
		there := func(oid zodb.Oid) bool {
			_, err := disk.Stat(s.Folder(oid))
			return !errors.Is(err, fs.ErrNotExist)
		}
		must(t, s.Evict(1, 1))
		if !there(1) {
			t.Errorf("%s: the folder of a blob went", layout)
		}
		must(t, s.Evict(1, 2))
		if there(1) || !there(0x100) {
			t.Errorf("%s: the folder of the evicted blobs is there: %v, that of another one: %v", layout, there(1),
				there(0x100))
		}
		must(t, s.Evict(0x100, 1))
		if entries, err := disk.ReadDir("/blobs"); err != nil || len(entries) != 2 {
			t.Errorf("%s: beside marker and tmp there is %v, %v", layout, entries, err)
		}
		publish(t, s, 1, 1, "x")
	}
}

// From when a directory was made a cache, no crash has it taken for one that has all blobs.
func TestACrashKeepsTheMarkOfACache(t *testing.T) {
	for n := 1; ; n++ {
		disk := simdisk.New()
		s, err := Open("/blobs", Options{FS: disk})
		must(t, err)
		disk.PowerOffAt(n)
		if err = s.MarkPartial(); err == nil {
			for seed := range uint64(12) {
				after, err := Open("/blobs", Options{FS: disk.Crash(seed)})
				must(t, err)
				is, err := after.Partial()
				if err != nil || !is {
					t.Fatalf("a cache is taken for all blobs: %v", err)
				}
			}
			break
		}
	}
}
