package archive

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A segmentCache keeps segments in a folder: each in a file of its own, its header and then its bytes as they are in
// the data file. It never has more than limit bytes; what was used longest ago goes first.
//
// Nothing is synced: after a crash a file may have anything. So each one is verified when this process uses it for the
// first time, by the digests of its header and of its bytes and by its place in the chain, and one that is wrong is
// removed and fetched again.
type segmentCache struct {
	disk  vfs.FS
	dir   string
	limit int64
	log   hclog.Logger

	mu    sync.Mutex
	known map[SegmentID]*list.Element
	order list.List // of *keptSegment, the last used in front
	bytes int64     // of them, those that are being written included
	names uint64    // of files that are being written
	full  bool      // it was logged that nothing can be written
	open  openSegments
}

type keptSegment struct {
	id   SegmentID
	size int64

	checking sync.Mutex
	checked  atomic.Bool
	is       span // where it is in the data file, when it was checked

	at *list.Element // of its open file; nil: there is none. Under mu
}

const unfinishedPrefix = "part-"

func keptName(id SegmentID) string { return fmt.Sprintf("%08d-%010d", id.Generation, id.Sequence) }

// openSegmentCache finds what is there. What was used when is not known: the order is that of their making.
func openSegmentCache(disk vfs.FS, dir string, limit int64, log hclog.Logger) (*segmentCache, error) {
	c := &segmentCache{disk: disk, dir: dir, limit: limit, log: log, known: map[SegmentID]*list.Element{}}
	if err := disk.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	entries, err := disk.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []fs.FileInfo
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinishedPrefix) {
			if err := vfs.RemoveIfThere(disk, filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		if info, err := e.Info(); err == nil {
			found = append(found, info)
		}
	}
	slices.SortFunc(found, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for _, info := range found {
		var id SegmentID
		if n, err := fmt.Sscanf(info.Name(), "%d-%d", &id.Generation, &id.Sequence); n != 2 || err != nil ||
			keptName(id) != info.Name() {
			continue // it is nobody's
		}
		c.known[id] = c.order.PushFront(&keptSegment{id: id, size: info.Size()})
		c.bytes += info.Size()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room(0)
	return c, nil
}

func (c *segmentCache) path(id SegmentID) string { return filepath.Join(c.dir, keptName(id)) }

func (c *segmentCache) has(id SegmentID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[id] != nil
}

// read fills b with the bytes at an offset of a segment; false: it is not here.
func (c *segmentCache) read(id SegmentID, want span, b []byte, off int64) bool {
	e, f, err := c.use(id)
	if e == nil {
		return false
	}
	if err == nil {
		if err = c.check(e, f, want); err == nil && e.is != want {
			c.done(f)
			return false // it is right for another view, which began with another archive at this place
		}
		if err == nil {
			_, err = f.ReadAt(b, HeaderLen+off)
		}
		c.done(f)
	}
	if err == nil {
		return true
	}
	if !errors.Is(err, fs.ErrNotExist) { // it went meanwhile
		c.log.Info("a segment that is kept here cannot be used: it is fetched again", "file", c.path(id), "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.known[id]; at != nil && at.Value == any(e) {
		c.drop(at)
	}
	return false
}

// use returns a segment that is here, and its file, which done takes back; nil: it is not here.
func (c *segmentCache) use(id SegmentID) (*keptSegment, *openSegment, error) {
	c.mu.Lock()
	at := c.known[id]
	if at == nil {
		c.mu.Unlock()
		return nil, nil, nil
	}
	c.order.MoveToFront(at)
	e := at.Value.(*keptSegment)
	f := c.open.use(e)
	c.mu.Unlock()
	if f != nil {
		return e, f, nil
	}
	file, err := c.disk.OpenFile(c.path(id), os.O_RDONLY, 0)
	if err != nil {
		return e, nil, err
	}
	f = &openSegment{File: file, of: e, users: 1}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at = c.known[id]; at != nil && at.Value == any(e) {
		c.open.keep(f)
	}
	return e, f, nil
}

// done ends the use of a file.
func (c *segmentCache) done(f *openSegment) {
	c.mu.Lock()
	f.users--
	last := f.users == 0 && !f.kept
	c.mu.Unlock()
	if last {
		_ = f.Close() // it was only read
	}
}

// close closes the files, those that are being read after that. Nothing is here any more.
func (c *segmentCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.known)
	c.order.Init()
	c.open.forgetAll()
}

// check verifies a file when it is used for the first time.
func (c *segmentCache) check(e *keptSegment, f io.ReaderAt, want span) error {
	if e.checked.Load() {
		return nil
	}
	e.checking.Lock()
	defer e.checking.Unlock()
	if e.checked.Load() {
		return nil
	}
	length := want.to - want.from
	if e.size != HeaderLen+length || length > maxRange {
		return fmt.Errorf("it has %d bytes, want %d", e.size, HeaderLen+length)
	}
	b := make([]byte, e.size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	h, err := decodeHeader(e.id, b)
	if err != nil {
		return err
	}
	if h.From != want.from || h.To != want.to || h.After != want.after {
		return errors.New("it is of another archive")
	}
	if sum := sumOf(b[HeaderLen:]); sum != h.Range {
		return fmt.Errorf("its bytes have digest %x…, want %x…", sum[:4], h.Range[:4])
	}
	e.is = want
	e.checked.Store(true)
	return nil
}

// put keeps a segment that was verified. What cannot be written is not kept.
func (c *segmentCache) put(s *Segment) {
	e := &keptSegment{id: s.ID, size: HeaderLen + int64(len(s.Bytes)), is: span{s.From, s.To, s.After}}
	e.checked.Store(true)
	c.mu.Lock()
	if c.known[s.ID] != nil || !c.room(e.size) {
		c.mu.Unlock()
		return
	}
	c.bytes += e.size
	c.names++
	part := filepath.Join(c.dir, fmt.Sprintf("%s%d", unfinishedPrefix, c.names))
	c.mu.Unlock()
	err := c.write(part, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && c.known[s.ID] == nil {
		if err = c.disk.Rename(part, c.path(s.ID)); err == nil {
			c.known[s.ID] = c.order.PushFront(e)
			c.full = false
			return
		}
	}
	c.bytes -= e.size
	if gone := vfs.RemoveIfThere(c.disk, part); err != nil && !c.full {
		c.full = true
		c.log.Info("segments cannot be kept on the local disk: each one is fetched whenever it is read", "folder",
			c.dir, "error", errors.Join(err, gone))
	}
}

// write makes the file of a segment, under another name. It has no point of durability: see above.
func (c *segmentCache) write(path string, s *Segment) (err error) {
	f, err := c.disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(s.encode(), 0)
	if err == nil {
		_, err = f.WriteAt(s.Bytes, HeaderLen)
	}
	return errors.Join(err, f.Close())
}

// room removes what was used longest ago until so many bytes more are within the limit, with mu held; false: they never
// are.
func (c *segmentCache) room(bytes int64) bool {
	for c.bytes+bytes > c.limit && c.order.Len() > 0 {
		c.drop(c.order.Back())
	}
	return c.bytes+bytes <= c.limit
}

// drop removes a segment, with mu held. Who reads its file goes on reading; the disk has its room back after that.
func (c *segmentCache) drop(at *list.Element) {
	e := at.Value.(*keptSegment)
	c.order.Remove(at)
	delete(c.known, e.id)
	c.bytes -= e.size
	c.open.forget(e)
	if err := vfs.RemoveIfThere(c.disk, c.path(e.id)); err != nil {
		c.log.Info("a segment cannot be removed from the local disk", "file", c.path(e.id), "error", err)
	}
}
