package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs"
)

// ViewOptions are what OpenView is told. Data and Cache are required.
type ViewOptions struct {
	FS       vfs.FS // nil: the real disk
	Data     string // the path at which the data file is seen; where its segments are is kept beside that
	Cache    *ViewCache
	AtOnce   int           // segments that are read at a time; 0: 4
	Wait     time.Duration // how long a reader waits for a segment; 0: 30 s
	Logger   hclog.Logger
	Progress func(done, total int64) // while the headers of all segments are read

	again time.Duration // after which a fetch that has failed is tried again; 0: the defaults
}

// Defaults of a view.
const (
	defaultViewAtOnce = 4
	defaultViewWait   = 30 * time.Second // how long a reader waits for a segment
	// MinViewSize is the least number of bytes of segments to keep: so many are in use at a time.
	MinViewSize = 256 << 20
)

// A View is the data file of a generation, or the beginning of it, at a path where there is none: what is read of it
// comes from the archive, segment by segment, and a part is kept on the local disk.
//
//	ReadAt ── which segment? ── on the local disk? ──yes──▶ its bytes, verified when they were first used
//	                                   │ no
//	                                   ▼
//	             one fetch for all who ask ── digest of the body, of the range, place in the chain
//	                                   │                              │
//	                                   ▼                              ▼
//	                              its bytes           the local disk; what was used longest ago goes
//
// A segment that cannot be read, or is damaged, fails the reads of its bytes, and no others.
type View struct {
	archive *Archive
	opt     ViewOptions
	disk    vfs.FS
	kept    *segmentCache
	table   viewTable
	fetches fetches

	growing sync.Mutex
	path    *Path // of growing
	saved   int   // entries of the table that are saved; of growing

	last atomic.Uint64 // the segment that was read last, plus one
	run  atomic.Int64  // how many were read one after the other
}

// A ViewCache keeps segments on the local disk for views, so many bytes of all together. What generations share is
// there once.
type ViewCache struct {
	lock io.Closer
	kept *segmentCache
}

// OpenViewCache opens the cache of a folder, which one process at a time has.
func OpenViewCache(disk vfs.FS, dir string, size int64, log hclog.Logger) (*ViewCache, error) {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	disk = vfs.OrOS(disk)
	lock, err := disk.Lock(filepath.Join(dir, "Data.fs.lock"), fmt.Sprintln(os.Getpid()))
	if errors.Is(err, vfs.ErrLocked) {
		err = fmt.Errorf("folder %s is in use: each process needs a cache of its own: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	kept, err := openSegmentCache(disk, filepath.Join(dir, "Data.fs"+segmentsSuffix), size, log)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &ViewCache{lock, kept}, nil
}

// Close is for when all views are closed.
func (c *ViewCache) Close() error {
	c.kept.close()
	return c.lock.Close()
}

// OpenView returns the data file of a generation up to size, which is where a transaction ends; 0: as far as it is
// archived, and Grow has it go on. It reads the headers of all segments that it does not know yet. Views of different
// generations have different paths.
func (a *Archive) OpenView(ctx context.Context, g *Generation, size int64, opt ViewOptions) (*View, error) {
	if opt.AtOnce == 0 {
		opt.AtOnce = defaultViewAtOnce
	}
	if opt.Wait == 0 {
		opt.Wait = defaultViewWait
	}
	if opt.Logger == nil {
		opt.Logger = hclog.NewNullLogger()
	}
	v := &View{archive: a, opt: opt, disk: vfs.OrOS(opt.FS), kept: opt.Cache.kept, path: g.Path}
	if size == 0 {
		size = g.End.End
	}
	if err := v.loadTable(ctx); err != nil {
		return nil, err
	}
	if err := v.extend(ctx, size); err != nil {
		return nil, err
	}
	v.fetches.begin(v)
	return v, nil
}

// Close ends all reads. What is known of the segments is saved.
func (v *View) Close() error {
	v.fetches.close()
	v.growing.Lock()
	defer v.growing.Unlock()
	return v.saveTable()
}

// Size is where the file ends.
func (v *View) Size() int64 {
	v.table.mu.RLock()
	defer v.table.mu.RUnlock()
	return v.table.size
}

// Generation is the number of the generation of which the file is.
func (v *View) Generation() uint64 { return v.path.Generation }

// Trouble is why the archive could not be read; nil where it could.
func (v *View) Trouble() error { return v.fetches.trouble() }

// Look finds out whether an archive that could not be read can be read again.
func (v *View) Look(ctx context.Context) error {
	if v.Trouble() == nil {
		return nil
	}
	_, err := v.archive.header(ctx, v.path.ID(0))
	if err == nil || missing(err) {
		v.fetches.back()
		return nil
	}
	return err
}

// Grow looks for what was archived since, and has the view go on.
func (v *View) Grow(ctx context.Context) error {
	v.growing.Lock()
	defer v.growing.Unlock()
	if err := v.path.grow(ctx); err != nil {
		return err
	}
	end, err := v.path.End(ctx)
	if err != nil {
		return err
	}
	return v.extend(ctx, end.End)
}

// ReadAt is io.ReaderAt. It waits for the archive, for a bounded time.
func (v *View) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		at := off + int64(n)
		i, from, to, ok := v.table.find(at)
		if !ok {
			return n, io.EOF
		}
		part := b[n:][:min(int64(len(b)-n), to-at)]
		if err := v.read(part, i, at-from); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// read fills b with the bytes at an offset of segment i.
func (v *View) read(b []byte, i uint64, off int64) error {
	v.passes(i)
	id, s := v.path.ID(i), v.table.span(i)
	if v.kept.read(id, s, b, off) {
		return nil
	}
	content, err := v.fetches.get(i)
	if err != nil {
		return fmt.Errorf("%v cannot be read from the archive: %w", id, err)
	}
	copy(b, content[off:])
	return nil
}

// inOrder is how many segments have to be read one after the other before the next ones are fetched ahead.
const inOrder = 2

// passes notes that segment i is read, and fetches the next ones for who reads the file from front to back.
func (v *View) passes(i uint64) {
	if v.last.Load() == i+1 {
		return
	}
	if v.last.Swap(i+1) != i {
		v.run.Store(0)
		return
	}
	if v.run.Add(1) >= inOrder {
		v.fetches.ahead(i + 1)
	}
}

// fetch reads a segment from the archive, as the table has it.
func (v *View) fetch(ctx context.Context, i uint64) ([]byte, error) {
	id := v.path.ID(i)
	s, err := v.archive.segment(ctx, id)
	if missing(err) {
		return nil, &LostError{id.name(), fmt.Sprintf("generation %d", v.path.Generation), err}
	}
	if err != nil {
		return nil, err
	}
	if want := v.table.span(i); s.From != want.from || s.To != want.to || s.After != want.after {
		return nil, damaged(id.name(), "it is not the one that was there when this began")
	}
	if s.Bytes == nil {
		return nil, ErrNoIdentity
	}
	v.kept.put(s)
	return s.Bytes, nil
}

// FS is the disk with the view on it: its data file can be opened for reading.
func (v *View) FS() vfs.FS { return &viewFS{v.disk, v} }

type viewFS struct {
	vfs.FS
	view *View
}

// OpenFile is vfs.FS.
func (d *viewFS) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	if path != d.view.opt.Data {
		return d.FS.OpenFile(path, flag, perm)
	}
	if flag != os.O_RDONLY {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	}
	return &viewFile{d.view}, nil
}

// Stat is vfs.FS.
func (d *viewFS) Stat(path string) (fs.FileInfo, error) {
	if path != d.view.opt.Data {
		return d.FS.Stat(path)
	}
	return viewInfo{d.view, d.view.Size()}, nil
}

// A viewFile is an open file of a view.
type viewFile struct{ *View }

func (f *viewFile) Name() string { return f.opt.Data }

func (f *viewFile) Stat() (fs.FileInfo, error) { return viewInfo{f.View, f.Size()}, nil }

func (f *viewFile) WriteAt([]byte, int64) (int, error) { return 0, f.refused("write") }

func (f *viewFile) Truncate(int64) error { return f.refused("truncate") }

func (f *viewFile) Sync() error { return nil }

func (f *viewFile) Close() error { return nil }

func (f *viewFile) refused(op string) error {
	return &fs.PathError{Op: op, Path: f.opt.Data, Err: fs.ErrPermission}
}

type viewInfo struct {
	view *View
	size int64
}

func (i viewInfo) Name() string       { return filepath.Base(i.view.opt.Data) }
func (i viewInfo) Size() int64        { return i.size }
func (i viewInfo) Mode() fs.FileMode  { return 0o400 }
func (i viewInfo) ModTime() time.Time { return time.Time{} }
func (i viewInfo) IsDir() bool        { return false }
func (i viewInfo) Sys() any           { return i.view }

// FileNode is vfs.Node: the file of a view is always the same one.
func (v *View) FileNode() {}

var _ vfs.Node = (*View)(nil)
