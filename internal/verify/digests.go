package verify

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"slices"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// The file of digests of blobs. All numbers are big-endian:
//
//	magic(16) "zrsd blobs 2" and zeros
//	records × oid(8) tid(8) size(8) read(8) origin(1) SHA-256(32) CRC-32C(4)
//
// A record says which content a blob has to have, and when that was last read from the disk, in seconds since 1970; 0:
// not since it was noted. The last one of a blob counts; size -1 says that nothing is noted of it any more. The
// checksum is of the rest of its record: a record that a crash has left in part is passed over, and the blob is read
// again. In "zrsd blobs 1" records have no origin, which is originFound.
const (
	digestsSuffix = ".blobs.zrsd"
	digestLen     = 69
	digestLenOld  = 68
)

var (
	digestsMagic    = [16]byte{'z', 'r', 's', 'd', ' ', 'b', 'l', 'o', 'b', 's', ' ', '2'}
	digestsMagicOld = [16]byte{'z', 'r', 's', 'd', ' ', 'b', 'l', 'o', 'b', 's', ' ', '1'}
)

// An origin says when the content of a blob was noted.
type origin byte

// The origins. Only the first one says that the content cannot have been damaged before.
const (
	originCommit   origin = 'c' // a client of this node gave it
	originReceived origin = 'r' // another node gave it
	originFound    origin = 'f' // a verification read it first
)

// forgotten is the size in a record that says that nothing is noted of a blob any more.
const forgotten = -1

// A blobDigest is what is noted of a blob.
type blobDigest struct {
	oid    zodb.Oid
	tid    zodb.Tid
	size   int64
	read   int64
	origin origin
	digest [sha256.Size]byte
}

func (d *blobDigest) compare(oid zodb.Oid, tid zodb.Tid) int {
	return cmp.Or(cmp.Compare(d.oid, oid), cmp.Compare(d.tid, tid))
}

func (d *blobDigest) append(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint64(b, uint64(d.oid))
	b = binary.BigEndian.AppendUint64(b, uint64(d.tid))
	b = binary.BigEndian.AppendUint64(b, uint64(d.size))
	b = binary.BigEndian.AppendUint64(b, uint64(d.read))
	b = append(b, byte(d.origin))
	b = append(b, d.digest[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// decodeDigest reads a record of digestLen or digestLenOld; false: it is damaged.
func decodeDigest(b []byte) (d blobDigest, ok bool) {
	end := len(b) - 4
	if binary.BigEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return d, false
	}
	d = blobDigest{
		oid: zodb.Oid(binary.BigEndian.Uint64(b)), tid: zodb.Tid(binary.BigEndian.Uint64(b[8:])),
		size: int64(binary.BigEndian.Uint64(b[16:])), read: int64(binary.BigEndian.Uint64(b[24:])), origin: originFound,
	}
	if len(b) == digestLen {
		d.origin = origin(b[32])
	}
	copy(d.digest[:], b[end-sha256.Size:])
	return d, true
}

// recordLen returns the length of the records of a file that begins with b; 0: it is no such file.
func recordLen(b []byte) int {
	switch {
	case bytes.HasPrefix(b, digestsMagic[:]):
		return digestLen
	case bytes.HasPrefix(b, digestsMagicOld[:]):
		return digestLenOld
	}
	return 0
}

// decodeDigests reads what the file has, sorted, the last one of each blob. damaged is how many records before the last
// good one are not: after it may be what a crash has left.
func decodeDigests(b []byte) (all []blobDigest, damaged int, err error) {
	length := recordLen(b)
	if length == 0 {
		return nil, 0, errBlocks
	}
	bad := 0
	for b = b[len(digestsMagic):]; len(b) >= length; b = b[length:] {
		if d, ok := decodeDigest(b[:length]); ok {
			all = append(all, d)
			damaged, bad = damaged+bad, 0
		} else {
			bad++
		}
	}
	slices.SortStableFunc(all, func(a, b blobDigest) int { return a.compare(b.oid, b.tid) })
	kept := all[:0]
	for i := range all {
		if (i+1 == len(all) || all[i].compare(all[i+1].oid, all[i+1].tid) != 0) && all[i].size >= 0 {
			kept = append(kept, all[i])
		}
	}
	return kept, damaged, nil
}

// A digestLog is what the file has, for a pass that adds to it.
type digestLog struct {
	notes   *BlobNotes   // whose file it is
	known   []blobDigest // sorted
	seen    []bool       // of these, which blobs are still there
	walked  bool         // all blobs that are there have been seen
	added   []blobDigest // in this pass
	buf     []byte       // records that are not written yet
	written int          // records that the file has, old ones included
	damaged int
}

// openDigests reads the file beside the data file at path. The error is about a file that is no use; the log is that
// of an empty one then.
func openDigests(disk vfs.FS, path string) (*digestLog, error) {
	return notesAt(disk, path).read()
}

// load reads the file.
func (l *digestLog) load() error {
	n := l.notes
	b, err := vfs.ReadFile(n.disk, n.path, maxOwnFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		l.known, l.damaged, err = decodeDigests(b)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", n.path, err)
	}
	l.seen = make([]bool, len(l.known))
	l.written = (len(b) - len(digestsMagic)) / recordLen(b)
	return nil
}

// find returns what is noted of a blob, which is there.
func (l *digestLog) find(oid zodb.Oid, tid zodb.Tid) *blobDigest {
	i, found := l.index(oid, tid)
	if !found {
		return nil
	}
	l.seen[i] = true
	return &l.known[i]
}

func (l *digestLog) index(oid zodb.Oid, tid zodb.Tid) (i int, found bool) {
	return slices.BinarySearchFunc(l.known, oid, func(d blobDigest, oid zodb.Oid) int { return d.compare(oid, tid) })
}

// present yields what is noted of the blobs that are there, once of each.
func (l *digestLog) present() iter.Seq[*blobDigest] {
	return func(yield func(*blobDigest) bool) {
		for i := range l.known {
			if l.seen[i] && !yield(&l.known[i]) {
				return
			}
		}
		for i := range l.added {
			d := &l.added[i]
			if _, before := l.index(d.oid, d.tid); !before && !yield(d) {
				return
			}
		}
	}
}

// digestBatch is how many records are written and synced at once, at most.
const digestBatch = 512

// add notes a blob that was read. What was added is durable after the next flush. What was noted of the blob since the
// pass began counts more.
func (l *digestLog) add(d blobDigest) error {
	_, before := l.index(d.oid, d.tid)
	if _, now := l.notes.Size(d.oid, d.tid); now != before {
		return nil
	}
	l.notes.learn(blobKey{d.oid, d.tid}, d.size)
	l.added = append(l.added, d)
	l.buf = d.append(l.buf)
	if len(l.buf) < digestBatch*digestLen {
		return nil
	}
	return l.flush()
}

// flush writes and syncs what was added. What a crash leaves of it are records that are whole, or are passed over.
func (l *digestLog) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	err := l.notes.append(l.buf, true)
	l.written += len(l.buf) / digestLen
	l.buf = l.buf[:0]
	return err
}

// close ends the adding. A log of which less than half is of use is written anew.
func (l *digestLog) close() error {
	err := l.flush()
	live := len(l.added)
	for i := range l.seen {
		if l.live(i) {
			live++
		}
	}
	if err != nil || l.damaged == 0 && l.written <= 2*live+digestBatch {
		return err
	}
	return l.notes.rewrite(func(d *blobDigest) bool {
		i, known := l.index(d.oid, d.tid)
		return !known || l.live(i)
	})
}

// live reports whether what is noted of a blob is of use: of a pass that did not come to all blobs, all is.
func (l *digestLog) live(i int) bool { return l.seen[i] || !l.walked }
