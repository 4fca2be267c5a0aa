package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/priority"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// BlobNotes are what is noted of the blobs of a storage while it is open: sizes in memory, and all else in the file of
// digests, to which it is appended without a sync soon after a commit. They are hints: what a crash takes of them a
// verification notes anew. It is a blobstore.Notes. Its methods may be called concurrently.
//
// Nothing that is noted may accuse a sound blob. So a blob is noted when its transaction is durable and not before; of
// one that is removed because its transaction is lost, that it is gone is durable before another can have its name; and
// Begin forgets what is about transactions that a crash or another process has cut off.
type BlobNotes struct {
	disk vfs.FS
	path string // of the file
	log  hclog.Logger
	open func(zodb.Oid, zodb.Tid) (vfs.File, error)
	kick chan struct{}

	writing sync.Mutex // of the file

	mu     sync.RWMutex
	sizes  *NotedSizes
	recent map[blobKey]int64 // what differs from sizes; forgotten: nothing is noted
	buf    []byte            // records that are not written yet
	unread []blobDigest      // whose digests are not known yet
}

// Bounds of what is in memory. What does not fit the next verification notes.
const (
	maxRecent     = 4096    // before they are sorted in; more where a sixteenth of all is more
	maxNoteBuffer = 4 << 20 // bytes that are not written yet; with as many, who notes that a blob is gone writes them
	maxUnread     = 4096
)

// notesDelay is how long notes are gathered before they are written.
const notesDelay = time.Second

// BlobNotesOptions are those of OpenBlobNotes. Path is required.
type BlobNotesOptions struct {
	FS     vfs.FS // nil: the real disk
	Path   string // of the Data.fs
	Logger hclog.Logger
	// Open opens a blob of which no digest came with it. Nil: of such a blob only the size is noted, in memory.
	Open func(zodb.Oid, zodb.Tid) (vfs.File, error)
}

// OpenBlobNotes reads what is noted. A file that is no use is as good as none.
func OpenBlobNotes(opt BlobNotesOptions) *BlobNotes {
	n := notesAt(opt.FS, opt.Path)
	n.open = opt.Open
	if opt.Logger != nil {
		n.log = opt.Logger
	}
	n.sizes = ReadNotedSizes(n.disk, opt.Path)
	return n
}

// notesAt returns notes of which nothing is in memory.
func notesAt(disk vfs.FS, path string) *BlobNotes {
	return &BlobNotes{disk: vfs.OrOS(disk), path: path + digestsSuffix, log: hclog.NewNullLogger(),
		kick: make(chan struct{}, 1), sizes: &NotedSizes{}, recent: map[blobKey]int64{}}
}

// Begin forgets what is noted of blobs of transactions after last, the last one of the storage that was just opened.
func (n *BlobNotes) Begin(last zodb.Tid) {
	n.mu.Lock()
	before := len(n.sizes.known)
	n.sizes.known = slices.DeleteFunc(n.sizes.known, func(s blobSize) bool { return s.tid > last })
	forgets := len(n.sizes.known) < before
	n.mu.Unlock()
	if !forgets {
		return
	}
	if err := n.rewrite(func(d *blobDigest) bool { return d.tid <= last }); err != nil {
		n.log.Info("cannot forget what was noted of blobs of lost transactions; the next start tries again", "file",
			n.path, "error", err)
	}
}

// Size is blobstore.Notes.
func (n *BlobNotes) Size(oid zodb.Oid, tid zodb.Tid) (size int64, known bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if size, known = n.recent[blobKey{oid, tid}]; known {
		return max(size, 0), size != forgotten
	}
	return n.sizes.Of(oid, tid)
}

// Content is blobstore.Notes.
func (n *BlobNotes) Content(oid zodb.Oid, tid zodb.Tid, size int64, digest *[sha256.Size]byte, fresh bool) {
	d := blobDigest{oid: oid, tid: tid, size: size, origin: originReceived}
	if fresh {
		d.origin = originCommit
	}
	n.learn(blobKey{oid, tid}, size)
	n.mu.Lock()
	switch {
	case digest != nil && len(n.buf) < maxNoteBuffer:
		d.digest = *digest
		n.buf = d.append(n.buf)
	case digest == nil && n.open != nil && len(n.unread) < maxUnread:
		n.unread = append(n.unread, d)
	}
	n.mu.Unlock()
	n.wake()
}

// Gone is blobstore.Notes.
func (n *BlobNotes) Gone(oid zodb.Oid, tid zodb.Tid, another bool) {
	if _, known := n.Size(oid, tid); !known {
		return
	}
	n.learn(blobKey{oid, tid}, forgotten)
	n.mu.Lock()
	d := blobDigest{oid: oid, tid: tid, size: forgotten}
	n.buf = d.append(n.buf)
	full := len(n.buf) >= maxNoteBuffer // a pack may remove any number; none of these can be left out
	n.mu.Unlock()
	if another || full {
		n.write(another)
	} else {
		n.wake()
	}
}

// learn keeps the size of a blob in memory.
func (n *BlobNotes) learn(k blobKey, size int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.recent[k] = size; len(n.recent) < max(maxRecent, len(n.sizes.known)/16) {
		return
	}
	for k, size := range n.recent {
		n.sizes.known = append(n.sizes.known, blobSize{k.oid, k.tid, size})
	}
	n.sizes.sort()
	clear(n.recent)
}

func (n *BlobNotes) wake() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// Run writes what is noted, and reads blobs whose digest did not come with them, until ctx ends. It is called in a
// goroutine of its own, which yields processor and disk to others from then on.
func (n *BlobNotes) Run(ctx context.Context) {
	priority.Lower(priority.Idle)
	for ctx.Err() == nil {
		select {
		case <-n.kick:
			pause.For(ctx, notesDelay)
			n.Write()
			n.readAll(ctx)
		case <-ctx.Done():
		}
	}
	n.Write()
}

// Write writes what is noted and not in the file yet.
func (n *BlobNotes) Write() { n.write(false) }

// write writes what is noted, in the order in which it was.
func (n *BlobNotes) write(sync bool) {
	n.writing.Lock()
	defer n.writing.Unlock()
	n.mu.Lock()
	b := n.buf
	n.buf = nil
	live := len(n.sizes.known) + len(n.recent)
	n.mu.Unlock()
	if len(b) == 0 {
		return
	}
	err := n.add(b, sync)
	if err == nil {
		err = n.compact(live)
	}
	if err != nil {
		n.log.Info("cannot note the content of blobs; the next verification does", "file", n.path, "error", err)
	}
}

// append adds records to the file.
func (n *BlobNotes) append(records []byte, sync bool) error {
	n.writing.Lock()
	defer n.writing.Unlock()
	return n.add(records, sync)
}

// add is append for who holds writing.
func (n *BlobNotes) add(records []byte, sync bool) error {
	f, err := n.openFile()
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		end := info.Size()
		end -= (end - int64(len(digestsMagic))) % digestLen // a crash may have left a part of a record
		_, err = f.WriteAt(records, end)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// openFile opens the file for records to be added. One of an older version is written anew, and so is one that is no
// use.
func (n *BlobNotes) openFile() (vfs.File, error) {
	f, err := n.disk.OpenFile(n.path, os.O_RDWR, 0)
	if err == nil {
		magic := make([]byte, len(digestsMagic))
		if _, e := f.ReadAt(magic, 0); e == nil && recordLen(magic) == digestLen {
			return f, nil
		}
		err = f.Close()
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = n.replace(func(*blobDigest) bool { return true })
	}
	if err == nil {
		err = n.disk.SyncDir(filepath.Dir(n.path))
	}
	if err != nil {
		return nil, err
	}
	return n.disk.OpenFile(n.path, os.O_RDWR, 0)
}

// compact, for who holds writing, writes the file anew if most of it is of no use, where so many blobs are noted.
func (n *BlobNotes) compact(live int) error {
	info, err := n.disk.Stat(n.path)
	if err != nil || info.Size()/digestLen <= 2*int64(live)+maxRecent {
		return err
	}
	return n.replace(func(*blobDigest) bool { return true })
}

// rewrite writes the file anew, with what is to be kept of what it has.
func (n *BlobNotes) rewrite(keep func(*blobDigest) bool) error {
	n.writing.Lock()
	defer n.writing.Unlock()
	return n.replace(keep)
}

// replace is rewrite for who holds writing.
func (n *BlobNotes) replace(keep func(*blobDigest) bool) error {
	l := &digestLog{notes: n}
	if err := l.load(); err != nil && !errors.Is(err, errBlocks) { // what cannot be read now may be read later
		return err
	}
	b := append([]byte(nil), digestsMagic[:]...)
	for i := range l.known {
		if keep(&l.known[i]) {
			b = l.known[i].append(b)
		}
	}
	return writeFile(n.disk, n.path, b)
}

// read returns what is noted, for a pass. What is in memory follows the file: an operator may have removed that.
func (n *BlobNotes) read() (*digestLog, error) {
	n.Write()
	n.writing.Lock()
	defer n.writing.Unlock()
	l := &digestLog{notes: n}
	err := l.load()
	if err != nil && !errors.Is(err, errBlocks) {
		return l, err
	}
	sizes := &NotedSizes{known: make([]blobSize, 0, len(l.known))}
	for i := range l.known {
		d := &l.known[i]
		sizes.known = append(sizes.known, blobSize{d.oid, d.tid, d.size})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sizes = sizes
	clear(n.recent)
	for i := range n.unread {
		d := &n.unread[i]
		n.recent[blobKey{d.oid, d.tid}] = d.size
	}
	for b := n.buf; len(b) > 0; b = b[digestLen:] { // what was noted since the file was written
		d, _ := decodeDigest(b[:digestLen])
		n.recent[blobKey{d.oid, d.tid}] = d.size
	}
	return l, err
}

// readAll reads the blobs whose digests did not come with them.
func (n *BlobNotes) readAll(ctx context.Context) {
	for ctx.Err() == nil {
		n.mu.Lock()
		list := n.unread
		n.unread = nil
		n.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for i := range list {
			if n.digest(ctx, &list[i]) {
				n.mu.Lock()
				n.buf = list[i].append(n.buf)
				n.mu.Unlock()
			}
		}
		n.Write()
	}
}

// digest reads a blob, and reports whether it can be noted: one that is gone, or another one, meanwhile cannot.
func (n *BlobNotes) digest(ctx context.Context, d *blobDigest) bool {
	f, err := n.open(d.oid, d.tid)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil || info.Size() != d.size {
		return false
	}
	sum, buf := sha256.New(), make([]byte, min(chunkLen, max(d.size, 1)))
	for at := int64(0); at < d.size; {
		b := buf[:min(int64(len(buf)), d.size-at)]
		if err := readAll(f, b, at); err != nil || ctx.Err() != nil {
			return false
		}
		_, _ = sum.Write(b) // a hash takes all
		at += int64(len(b))
	}
	sum.Sum(d.digest[:0])
	size, known := n.Size(d.oid, d.tid)
	return known && size == d.size
}
