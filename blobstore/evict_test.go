package blobstore

import (
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

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
