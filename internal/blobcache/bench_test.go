package blobcache_test

import (
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
)

// BenchmarkHit opens a blob of the cache, and the same without one.
func BenchmarkHit(b *testing.B) {
	s := &source{n: 100, size: 1000, keeps: true}
	d := newCacheAt(b, vfs.OS{}, b.TempDir(), 1<<20, s)
	if _, err := read(d, 1); err != nil {
		b.Fatal(err)
	}
	b.Run("local", func(b *testing.B) {
		for b.Loop() {
			f, err := d.Store.OpenBlob(1, 1)
			if err != nil {
				b.Fatal(err)
			}
			_ = f.Close()
		}
	})
	b.Run("cache", func(b *testing.B) {
		for b.Loop() {
			f, err := d.OpenHere(1, 1)
			if err != nil {
				b.Fatal(err)
			}
			_ = f.Close()
		}
	})
}
