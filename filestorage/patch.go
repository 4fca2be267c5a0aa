package filestorage

import (
	"fmt"
	"io"
	"slices"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A Patch is what a part of a file is to be.
type Patch struct {
	Pos  int64
	Data []byte
}

// End returns the offset after the part.
func (p *Patch) End() int64 { return p.Pos + int64(len(p.Data)) }

// Patched returns a file that reads as f, but for the patches, which are ascending and do not overlap. What they cover
// is not read from f: the disk may not give it. Nothing is written; the caller closes f.
func Patched(f vfs.File, patches []Patch) vfs.File { return &patchedFile{f, patches} }

type patchedFile struct {
	vfs.File
	patches []Patch
}

func (f *patchedFile) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		at, left := off+int64(n), b[n:]
		i, _ := slices.BinarySearchFunc(f.patches, at, func(p Patch, at int64) int {
			if p.End() <= at {
				return -1
			}
			return 1
		})
		if i < len(f.patches) {
			if p := &f.patches[i]; p.Pos <= at {
				n += copy(left, p.Data[at-p.Pos:])
				continue
			} else if gap := p.Pos - at; gap < int64(len(left)) {
				left = left[:gap]
			}
		}
		m, err := f.File.ReadAt(left, at)
		if n += m; m < len(left) {
			return n, err
		}
	}
	return n, nil
}

// checkPatches reports whether patches are ascending, in a part of a file, and not too much.
func checkPatches(patches []Patch, from, to int64) error {
	at, total := from, 0
	for i := range patches {
		p := &patches[i]
		if p.Pos < at || p.End() > to || len(p.Data) == 0 {
			return fmt.Errorf("a patch of %d bytes at %d, after %d, is not within [%d, %d)", len(p.Data), p.Pos, at,
				from, to)
		}
		at = p.End()
		total += len(p.Data)
	}
	if total == 0 || total > MaxRepair {
		return fmt.Errorf("patches of %d bytes; there may be 1 to %d: %w", total, MaxRepair, errRepairSize)
	}
	return nil
}

// readSectors fills b from pos, as far as the disk gives it: readable is false where a part, which is zero then, could
// not be read.
func readSectors(f io.ReaderAt, b []byte, pos int64) (readable bool) {
	if n, err := f.ReadAt(b, pos); n == len(b) || err == nil {
		return true
	}
	readable = true
	for len(b) > 0 {
		part := b[:min(int64(len(b)), sectorLen-pos%sectorLen)]
		if n, _ := f.ReadAt(part, pos); n < len(part) {
			clear(part)
			readable = false
		}
		b, pos = b[len(part):], pos+int64(len(part))
	}
	return readable
}

// sectorLen is how much of a file that cannot be read is tried at a time.
const sectorLen = 4 << 10
