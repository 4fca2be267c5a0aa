package archive

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"sync"

	"github.com/zrsd/zrsd/internal/vfs"
)

// Names of what a view keeps, after that of the data file.
const (
	segmentsSuffix = ".segments"      // a folder
	tableSuffix    = ".segments.zrsd" // where each segment is in the file
	indexSuffix    = ".index"         // that of package filestorage, which belongs to the table
)

// A span is where a segment is in the file, and which one it has to be.
type span struct {
	from, to int64
	after    Digest // of the chain
}

// A viewTable has where the segments of a path are. It only grows.
type viewTable struct {
	mu    sync.RWMutex
	ends  []int64
	after []Digest
	size  int64 // where the file ends that is seen
}

// span returns that of segment i.
func (t *viewTable) span(i uint64) span {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := span{to: t.ends[i], after: t.after[i]}
	if i > 0 {
		s.from = t.ends[i-1]
	}
	return s
}

// find returns the segment in which an offset is, and what of it belongs to the file; false beyond its end.
func (t *viewTable) find(off int64) (i uint64, from, to int64, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if off < 0 || off >= t.size {
		return 0, 0, 0, false
	}
	n := sort.Search(len(t.ends), func(i int) bool { return t.ends[i] > off })
	if n > 0 {
		from = t.ends[n-1]
	}
	return uint64(n), from, min(t.ends[n], t.size), true
}

// place is the end of what is known.
func (t *viewTable) place() (at Place) {
	if n := len(t.ends); n > 0 {
		at.To, at.Chain = t.ends[n-1], t.after[n-1]
	}
	return at
}

// extend has the file end at size, and reads the headers of segments up to there that are not known yet.
func (v *View) extend(ctx context.Context, size int64) error {
	t := &v.table
	at := t.place()
	for i := uint64(len(t.ends)); at.To < size; i++ {
		if i >= v.path.Len() {
			return damaged(fmt.Sprintf("generation %d", v.path.Generation), "it ends at %d, before %d", at.To, size)
		}
		if err := v.path.ahead(ctx, i); err != nil {
			return err
		}
		h, err := v.path.Header(ctx, i)
		if err != nil {
			return err
		}
		if err := h.follows(&at); err != nil {
			return err
		}
		if h.Age && len(v.archive.packer.keys.Identities) == 0 {
			return fmt.Errorf("%v: %w", h.ID, ErrNoIdentity)
		}
		t.mu.Lock()
		t.ends, t.after = append(t.ends, h.To), append(t.after, h.After)
		t.mu.Unlock()
		if at = h.place(); v.opt.Progress != nil {
			v.opt.Progress(at.To, size)
		}
	}
	t.mu.Lock()
	t.size = max(size, t.size)
	t.mu.Unlock()
	return v.saveTable()
}

// A saved table begins with this, the digest of the archive's name, the generation and the number of entries. Each has
// the end and the chain. A digest of all is at the end.
const (
	tableMagic    = "zrsdview"
	tableHeadLen  = len(tableMagic) + sha256.Size + 16
	tableEntryLen = 8 + sha256.Size
	maxTable      = 1 << 30
)

// saveTable saves what has become known, durably: an index that is saved later belongs to this generation.
func (v *View) saveTable() error {
	t := &v.table
	if v.saved == len(t.ends) {
		return nil
	}
	b := make([]byte, 0, tableHeadLen+len(t.ends)*tableEntryLen+sha256.Size)
	b = append(b, tableMagic...)
	name := sumOf([]byte(v.archive.Identity.Archive))
	b = append(b, name[:]...)
	b = binary.BigEndian.AppendUint64(b, v.path.Generation)
	b = binary.BigEndian.AppendUint64(b, uint64(len(t.ends)))
	for i, end := range t.ends {
		b = append(binary.BigEndian.AppendUint64(b, uint64(end)), t.after[i][:]...)
	}
	sum := sumOf(b)
	b = append(b, sum[:]...)
	err := vfs.WriteFileAtomic(v.disk, v.opt.Data+tableSuffix, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(b, 0)
		return err
	})
	if err == nil {
		v.saved = len(t.ends)
	}
	return err
}

// loadTable takes what was saved, if it is of this generation. If not, the index goes that is of another file.
func (v *View) loadTable(ctx context.Context) error {
	b, err := vfs.ReadFile(v.disk, v.opt.Data+tableSuffix, maxTable)
	if err == nil {
		err = v.takeTable(ctx, b)
	}
	if err == nil {
		return nil
	}
	if objectAway(err) {
		return err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		v.opt.Logger.Info("what is kept of the archive is of another file: it is read again", "file",
			v.opt.Data+tableSuffix, "error", err)
	}
	v.table.ends, v.table.after, v.saved = nil, nil, 0
	for _, name := range []string{indexSuffix, tableSuffix} {
		if err := vfs.RemoveIfThere(v.disk, v.opt.Data+name); err != nil {
			return err
		}
	}
	return v.disk.SyncDir(filepath.Dir(v.opt.Data))
}

func (v *View) takeTable(ctx context.Context, b []byte) error {
	if len(b) < tableHeadLen+sha256.Size || string(b[:len(tableMagic)]) != tableMagic {
		return errors.New("it is no table of segments")
	}
	entries := b[tableHeadLen : len(b)-sha256.Size]
	if sum := sumOf(b[:len(b)-sha256.Size]); sum != Digest(b[len(b)-sha256.Size:]) {
		return errors.New("its digest is wrong")
	}
	r := fieldReader(b[len(tableMagic):])
	archive, generation, count := r.digest(), r.number(), r.number()
	switch {
	case archive != sumOf([]byte(v.archive.Identity.Archive)):
		return errors.New("it is of another archive")
	case generation != v.path.Generation:
		return fmt.Errorf("it is of generation %d", generation)
	case count > v.path.Len() || uint64(len(entries)) != count*uint64(tableEntryLen) || count == 0:
		return fmt.Errorf("it has %d segments, the archive %d", count, v.path.Len())
	}
	for r := fieldReader(entries); len(r) > 0; {
		v.table.ends = append(v.table.ends, int64(r.number()))
		v.table.after = append(v.table.after, r.digest())
	}
	v.saved = len(v.table.ends)
	h, err := v.path.Header(ctx, count-1)
	if err != nil {
		return err
	}
	if at := v.table.place(); h.To != at.To || h.After != at.Chain {
		return fmt.Errorf("%v is another one now", h.ID)
	}
	return nil
}
