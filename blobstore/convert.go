package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// convertName is that of the plan of a conversion: the two layouts in which blobs may have names at present.
//
//	plan      layout SP layout LF, or layout SP layout SP end LF
//
// With end, names are being removed, and a blob that comes gets one.
const (
	convertName = ".convert.zrsd"
	planEnd     = "end"
)

// A Conversion says what a conversion did, or would do.
type Conversion struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Blobs   int64  `json:"blobs"`   // that got a name in the new layout
	Bytes   int64  `json:"bytes"`   // of them
	Removed int64  `json:"removed"` // old names
	Left    int64  `json:"left"`    // files with the name of a blob that stayed where they are: links, or other content

	OldNames bool `json:"old_names"` // the names of the other layout are, or would be, still there

	// Total is, while it goes on, how many names there were to give and to remove when it began; 0: not known.
	Total int64 `json:"total,omitempty"`
}

// A converter is one conversion.
type converter struct {
	s        *Store
	from, to layout
	did      Conversion
	progress func(Conversion)
	beside   *BesideOptions // nil: nobody else uses the directory
}

// Convert changes the layout of the directory. The caller holds the lock of the storage. progress may be nil.
//
//	plan       durable
//	link       each blob gets its name in the new layout, beside the old one; all of them durable
//	marker     replaced: from here on the directory has the new layout
//	remove     the old names, where the new one leads to the same content, and the folders that become empty
//	plan       removed
//
// So a crash at any step leaves a directory in which every blob has its name in the layout that the marker says, and
// the next call goes on. Called with the old layout it goes back. A file system without links has each blob copied.
func (s *Store) Convert(ctx context.Context, to string, progress func(Conversion)) (*Conversion, error) {
	return s.converted(ctx, to, &converter{progress: progress}, (*converter).run)
}

func (s *Store) converted(ctx context.Context, to string, c *converter,
	run func(*converter, context.Context) error) (*Conversion, error) {
	c.s, c.from = s, s.layout()
	var known bool
	if c.to, known = layoutNamed(to); !known {
		return nil, fmt.Errorf("there is no layout %q: give %s or %s", to, Bushy, Lawn)
	}
	if s.readOnly {
		return nil, zodb.ErrReadOnly
	}
	select {
	case s.convert <- struct{}{}:
		defer func() { <-s.convert }()
	default:
		return nil, ErrConverting
	}
	c.did.From, c.did.To = s.layout().name(), to
	c.count(ctx)
	err := run(c, ctx)
	if c.did.Total = 0; err != nil {
		return &c.did, fmt.Errorf("convert blob directory %s from %s to %s: %w", s.dir, c.did.From, to, err)
	}
	return &c.did, nil
}

// count finds out how much there is to do, for who watches. Where it cannot, as when folders go meanwhile, nobody
// knows.
func (c *converter) count(ctx context.Context) {
	if c.progress == nil {
		c.progress = func(Conversion) {}
		return
	}
	would, err := c.s.WouldConvert(ctx, c.to.name(), c.beside != nil && c.beside.OldNames)
	if err == nil {
		c.did.Total = would.Blobs + would.Removed
	}
}

// ErrConverting says that a conversion of the directory goes on.
var ErrConverting = errors.New("a conversion of the blob directory goes on already: wait for its end")

// Converting reports whether a conversion was interrupted.
func (s *Store) Converting() (bool, error) {
	_, err := s.fs.Stat(s.convertPlan())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) convertPlan() string { return filepath.Join(s.dir, convertName) }

func (c *converter) run(ctx context.Context) error {
	s := c.s
	switch began, err := s.Converting(); {
	case err != nil:
		return err
	case !began && c.from == c.to:
		return nil
	case !began:
		if err := c.plan(""); err != nil {
			return err
		}
	}
	if c.from != c.to {
		if err := c.linkAll(ctx); err != nil {
			return err
		}
		if err := c.switchTo(); err != nil {
			return err
		}
	} else {
		c.from = otherThan(c.to) // what is left to do is to remove its names
	}
	if err := c.removeAll(ctx); err != nil {
		return err
	}
	return c.dropPlan()
}

func (c *converter) dropPlan() error {
	if err := c.s.fs.Remove(c.s.convertPlan()); err != nil {
		return err
	}
	if err := c.s.fs.SyncDir(c.s.dir); err != nil {
		return err
	}
	c.s.publishing.Lock()
	defer c.s.publishing.Unlock()
	c.s.doubling.Store(int32(single))
	return nil
}

func otherThan(l layout) layout {
	if l.name() == Bushy {
		return lawn{}
	}
	return bushy{}
}

// plan writes the plan, durably.
func (c *converter) plan(end string) error {
	return vfs.WriteFileAtomic(c.s.fs, c.s.convertPlan(), ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt([]byte(c.from.name()+" "+c.to.name()+end+"\n"), 0)
		return err
	})
}

// linkAll gives each blob its name in the new layout, durably.
func (c *converter) linkAll(ctx context.Context) error {
	root, all, err := c.syncer()
	if err != nil {
		return err
	}
	if all != nil {
		defer root.Close() //nolint:errcheck // only read
	}
	err = c.walk(ctx, c.from, func(oid zodb.Oid, tid zodb.Tid, path string, info fs.FileInfo) error {
		to := c.s.pathIn(c.to, oid, tid)
		if linked, err := c.linkOne(path, to); err != nil || !linked {
			return err
		}
		c.did.Blobs++
		c.did.Bytes += info.Size()
		c.progress(c.did)
		if all != nil {
			return nil
		}
		return c.s.syncThere(filepath.Dir(to)) // it may be removed meanwhile, with its folder
	})
	if err == nil && all != nil {
		err = all.SyncAll(root)
	}
	return err
}

// linkOne gives a blob its new name, if it is still there.
func (c *converter) linkOne(path, to string) (linked bool, err error) {
	c.s.publishing.Lock() // nobody removes the blob meanwhile, or a folder
	defer c.s.publishing.Unlock()
	if c.beside != nil {
		if _, err := c.s.fs.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
	}
	if err := c.s.withoutLinks(filepath.Dir(to)); err != nil {
		return false, err
	}
	if err := c.s.folders.make(filepath.Dir(to)); err != nil {
		return false, err
	}
	return true, c.link(path, to)
}

// syncer returns what makes all names durable at a time; nil where the disk cannot.
func (c *converter) syncer() (vfs.File, vfs.AllSyncer, error) {
	disk, can := c.s.fs.(vfs.AllSyncer)
	if !can {
		return nil, nil, nil
	}
	root, err := c.s.fs.OpenFile(c.s.dir, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	if !disk.SyncsAll(root) {
		return nil, nil, root.Close()
	}
	return root, disk, nil
}

// walk calls do with each blob of a layout. What only has the name of one stays where it is.
func (c *converter) walk(ctx context.Context, l layout, do func(zodb.Oid, zodb.Tid, string, fs.FileInfo) error) error {
	return c.s.survey(l, nil, &Surveyor{
		Blob: func(oid zodb.Oid, tid zodb.Tid, path string, info fs.FileInfo) error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if !info.Mode().IsRegular() {
				c.did.Left++
				return nil
			}
			if c.beside != nil {
				if err := c.beside.Pace(ctx); err != nil {
					return err
				}
			}
			return do(oid, tid, path, info)
		},
		Other: func(string, fs.DirEntry) error { return nil },
		Unreadable: func(_ string, err error) error {
			if c.beside != nil && errors.Is(err, fs.ErrNotExist) {
				return c.s.Here() // a folder that became empty was removed meanwhile
			}
			return err
		},
	})
}

// link gives a blob a second name, which nothing else may have.
func (c *converter) link(from, to string) error {
	err := c.s.fs.Link(from, to)
	switch {
	case errors.Is(err, fs.ErrExist):
		same, err := c.same(from, to)
		if err == nil && !same {
			err = fmt.Errorf("%s and %s have different content: move away the one that is wrong", from, to)
		}
		return err
	case noLinks(err) && c.beside == nil:
		if err = c.s.copyBlob(from, to); err == nil {
			err = c.s.folders.sync(filepath.Dir(to))
		}
	}
	return err
}

// same reports whether two names lead to the same content. A link in the place of a file does not.
func (c *converter) same(a, b string) (bool, error) {
	if vfs.LinkTarget(c.s.fs, b) != "" {
		return false, nil
	}
	one, err := c.s.fs.Stat(a)
	if err != nil {
		return false, err
	}
	other, err := c.s.fs.Stat(b)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case vfs.SameFile(one, other):
		return true, nil
	case one.Size() != other.Size():
		return false, nil
	}
	return c.equal(a, b, one.Size())
}

func (c *converter) equal(a, b string, size int64) (bool, error) {
	f, err := vfs.OpenPlain(c.s.fs, a)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	g, err := vfs.OpenPlain(c.s.fs, b)
	if err != nil {
		return false, err
	}
	defer g.Close() //nolint:errcheck // only read
	x, y := make([]byte, blockSize), make([]byte, blockSize)
	for at := int64(0); at < size; at += blockSize {
		n := min(blockSize, size-at)
		_, err1 := f.ReadAt(x[:n], at)
		_, err2 := g.ReadAt(y[:n], at)
		if err := errors.Join(notEnd(err1), notEnd(err2)); err != nil {
			return false, err
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return false, nil
		}
	}
	return true, nil
}

func notEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// switchTo replaces the marker.
func (c *converter) switchTo() error {
	before := c.s.layout()
	c.s.shape.Store(&c.to)
	if err := c.s.writeMarker(); err != nil {
		c.s.shape.Store(&before)
		return err
	}
	return c.s.notePresence()
}

// removeAll removes the names of the old layout.
func (c *converter) removeAll(ctx context.Context) error {
	changed := map[string]bool{}
	err := c.walk(ctx, c.from, func(oid zodb.Oid, tid zodb.Tid, path string, _ fs.FileInfo) error {
		if removed, err := c.removeOne(path, c.s.pathIn(c.to, oid, tid)); err != nil || !removed {
			return err
		}
		c.progress(c.did)
		dir, err := c.s.prune(filepath.Dir(path))
		if len(changed) < maxDurable { // a name that comes back after a crash is only one too many
			changed[dir] = true
		}
		return err
	})
	if err == nil {
		err = c.pruneAll(ctx, nil, changed)
	}
	return errors.Join(err, c.s.syncChanged(changed))
}

// pruneAll removes the folders of the old layout that are empty, as those that a client or a commit has made for a blob
// that did not come.
func (c *converter) pruneAll(ctx context.Context, names []string, changed map[string]bool) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	dir := filepath.Join(append([]string{c.s.dir}, names...)...)
	entries, err := c.s.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) && len(names) > 0 {
		return nil // it was above one that was removed
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && len(names) < c.from.depth() && leads(c.from, names, e.Name()) {
			if err := c.pruneAll(ctx, append(names[:len(names):len(names)], e.Name()), changed); err != nil {
				return err
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	left, err := c.s.prune(dir)
	if left != dir && len(changed) < maxDurable {
		changed[left] = true
	}
	return err
}

// removeOne removes the old name of a blob, if the new one leads to the same content.
func (c *converter) removeOne(path, to string) (removed bool, err error) {
	c.s.publishing.Lock() // the blob keeps its new name meanwhile
	defer c.s.publishing.Unlock()
	same, err := c.same(path, to)
	if errors.Is(err, fs.ErrNotExist) && c.beside != nil {
		return false, nil // it was removed meanwhile, with both names
	}
	if err != nil {
		return false, err
	}
	if !same {
		c.did.Left++
		return false, nil
	}
	if err := c.s.fs.Remove(path); err != nil {
		return false, err
	}
	c.did.Removed++
	return true, nil
}
