package filestorage

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// What is known of damage changes what the readers of single objects get, before a repair, or without one: the right
// bytes where they are known, and an error where only the place is known. Iterators and snapshots get the right bytes
// where they are known. Nothing is written, and packs read the file as it is.

// maxCorrections bounds the bytes of patches that are kept.
const maxCorrections = 16 << 20

// ErrReplaced says that a pack has put another file in the place of the one that something was about.
var ErrReplaced = errors.New("a pack has replaced the data file")

var errCorrections = errors.New("too much is damaged to be answered from memory: let it be healed")

// An Edition is the file that stands at the path of a storage, until a pack puts another in its place.
type Edition struct{ e *openDataFile }

// Edition returns the present one.
func (s *Storage) Edition() Edition { return Edition{s.present()} }

// A Part is a part of a file, [From, To).
type Part struct{ From, To int64 }

// Correct has the readers of single objects see the present file as if it had the patches that prove returns, and no
// damage in the part that it has proved with them. prove reads the file on the disk that it is given, where an open
// fails with ErrReplaced after a pack.
func (s *Storage) Correct(prove func(disk vfs.FS) (Part, []Patch, error)) error {
	e := s.hold()
	defer e.release()
	part, patches, err := prove(&editionDisk{FS: s.fs, e: e})
	if err != nil {
		return err
	}
	return e.change(func(c *corrections) error { return c.prove(part, patches) })
}

// SetDamaged has the readers of single objects get a *zodb.CorruptError for each record that is in one of the parts,
// unless a patch is there. What was proved without one was right on the disk then: it may be wrong by now. Parts of an
// earlier call do not count any more. After a pack it does nothing.
func (s *Storage) SetDamaged(of Edition, parts []Part) {
	_ = of.e.change(func(c *corrections) error { // nothing in it fails
		c.damaged = slices.DeleteFunc(slices.Clone(parts), c.patched)
		return nil
	})
}

// An editionDisk is one on which the data file is a certain one.
type editionDisk struct {
	vfs.FS
	e *openDataFile
}

// OpenFile is vfs.FS.
func (d *editionDisk) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err != nil || path != d.e.path {
		return f, err
	}
	is, err := vfs.LookAt(f)
	if err == nil && !vfs.SameFile(is, d.e.id) {
		err = ErrReplaced
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// corrections are what is known of damage in a file. They do not change once readers see them.
type corrections struct {
	patches []Patch // ascending
	damaged []Part  // of which nothing is proved
}

// overlap reports whether two parts have a byte in common.
func (p Part) overlaps(q Part) bool { return p.From < q.To && q.From < p.To }

// without returns the parts that do not overlap with one.
func without(parts []Part, gone Part) []Part {
	return slices.DeleteFunc(slices.Clone(parts), gone.overlaps)
}

// patched reports whether a patch has bytes of a part.
func (c *corrections) patched(p Part) bool {
	i := sort.Search(len(c.patches), func(i int) bool { return c.patches[i].End() > p.From })
	return i < len(c.patches) && c.patches[i].Pos < p.To
}

// part is where a patch is.
func (p *Patch) part() Part { return Part{p.Pos, p.End()} }

// prove adds what was proved, which counts more than what was before.
func (c *corrections) prove(part Part, patches []Patch) error {
	kept := slices.DeleteFunc(slices.Clone(c.patches), func(old Patch) bool {
		return slices.ContainsFunc(patches, func(p Patch) bool { return p.part().overlaps(old.part()) })
	})
	kept = append(kept, patches...)
	total := 0
	for i := range kept {
		total += len(kept[i].Data)
	}
	if total > maxCorrections {
		return errCorrections
	}
	slices.SortFunc(kept, func(a, b Patch) int { return cmp.Compare(a.Pos, b.Pos) })
	c.patches, c.damaged = kept, without(c.damaged, part)
	return nil
}

// repaired forgets what was known of a part that has been repaired.
func (c *corrections) repaired(part Part) error {
	c.patches = slices.DeleteFunc(slices.Clone(c.patches), func(p Patch) bool { return part.overlaps(p.part()) })
	c.damaged = without(c.damaged, part)
	return nil
}

// change replaces what readers see. Changes wait for each other.
func (e *openDataFile) change(how func(*corrections) error) error {
	e.correcting.Lock()
	defer e.correcting.Unlock()
	c := e.corrections
	if err := how(&c); err != nil {
		return err
	}
	e.corrections = c
	if len(c.patches) == 0 && len(c.damaged) == 0 {
		e.corrected.Store(nil)
		return nil
	}
	proved := Patched(e.file, c.patches)
	e.corrected.Store(&openDataFile{path: e.path, id: e.id, index: e.index, commitPoint: e.commitPoint, base: e,
		proved: proved, file: &correctedFile{proved, e.path, c.damaged}})
	return nil
}

// asReadersSee returns the file with what is known of damage.
func (e *openDataFile) asReadersSee() *openDataFile {
	if c := e.corrected.Load(); c != nil {
		return c
	}
	return e
}

// A correctedFile is the file with what is known of damage.
type correctedFile struct {
	vfs.File // patched
	path     string
	damaged  []Part
}

// ReadAt reads up to the first damaged part, which is an error.
func (f *correctedFile) ReadAt(b []byte, off int64) (int, error) {
	part, at, found := Part{off, off + int64(len(b))}, int64(0), false
	for _, d := range f.damaged {
		if d.overlaps(part) && (!found || d.From < at) {
			at, found = max(d.From, off), true
		}
	}
	if !found {
		return f.File.ReadAt(b, off)
	}
	n, err := f.File.ReadAt(b[:at-off], off)
	if err == nil {
		err = corruptAt(f.path, at, "what was written", "damage that a verification has found")
	}
	return n, err
}

// A provedFile is the file with what is proved of it at the time of each read. Iterators and seeds read it: what is
// right they give out as soon as it is known, and what is not known they leave to the digests of who receives it.
type provedFile struct {
	vfs.File
	e *openDataFile
}

// ReadAt is vfs.File.
func (f *provedFile) ReadAt(b []byte, off int64) (int, error) {
	if c := f.e.corrected.Load(); c != nil {
		return c.proved.ReadAt(b, off)
	}
	return f.File.ReadAt(b, off)
}

// An UnreadableError says that the disk does not give a part of a file that has it.
type UnreadableError struct {
	File string
	Pos  int64 // the first byte that it does not give
	Err  error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("read %s at %d: %v", e.File, e.Pos, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// DamageIn returns the *zodb.CorruptError or *UnreadableError that an error is about; nil: it is about no damage.
func DamageIn(err error) error {
	var corrupt *zodb.CorruptError
	var unreadable *UnreadableError
	switch {
	case errors.As(err, &corrupt):
		return corrupt
	case errors.As(err, &unreadable):
		return unreadable
	}
	return nil
}
