package filestorage

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/vfs"
)

func TestReadingAheadIsReading(t *testing.T) {
	content := make([]byte, 3*windowLen+100)
	for i := range content {
		content[i] = byte(i ^ i>>8 ^ i>>16)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := vfs.OS{}.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rapid.Check(t, func(t *rapid.T) {
		f := &ahead{File: file, end: int64(len(content) - rapid.SampledFrom([]int{0, 1, 50}).Draw(t, "before the end"))}
		off := 0
		for range rapid.IntRange(1, 30).Draw(t, "reads") {
			off += rapid.SampledFrom([]int{0, 1, 100, 5000, aheadGap, 2 * aheadGap, windowLen, -3000}).Draw(t, "step")
			off = min(max(off, 0), len(content))
			n := rapid.SampledFrom([]int{0, 1, 42, 8192, windowLen/2 + 1}).Draw(t, "length")
			b := make([]byte, min(n, len(content)-off))
			if got, err := f.ReadAt(b, int64(off)); err != nil || got != len(b) {
				t.Fatalf("%d bytes at %d: got %d, %v", len(b), off, got, err)
			}
			if !bytes.Equal(b, content[off:off+len(b)]) {
				t.Fatalf("%d bytes at %d are wrong", len(b), off)
			}
			off += len(b)
		}
	})
}
