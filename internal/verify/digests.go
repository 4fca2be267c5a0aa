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
	"os"
	"path/filepath"
	"slices"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// The file of digests of blobs. All numbers are big-endian:
//
//	magic(16) "zrsd blobs 1" and zeros
//	records × oid(8) tid(8) size(8) read(8) SHA-256(32) CRC-32C(4)
//
// A record says which content a blob had when it was read, and when that was, in seconds since 1970. The last one of a
// blob counts. The checksum is of the rest of its record: a record that a crash has left in part is passed over, and
// the blob is read again.
const (
	digestsSuffix = ".blobs.zrsd"
	digestLen     = 68
)

var digestsMagic = [16]byte{'z', 'r', 's', 'd', ' ', 'b', 'l', 'o', 'b', 's', ' ', '1'}

// A blobDigest is what is noted of a blob.
type blobDigest struct {
	oid    zodb.Oid
	tid    zodb.Tid
	size   int64
	read   int64
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
	b = append(b, d.digest[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// decodeDigest reads a record of digestLen; false: it is damaged.
func decodeDigest(b []byte) (d blobDigest, ok bool) {
	if binary.BigEndian.Uint32(b[digestLen-4:]) != crc32.Checksum(b[:digestLen-4], castagnoli) {
		return d, false
	}
	d = blobDigest{
		oid: zodb.Oid(binary.BigEndian.Uint64(b)), tid: zodb.Tid(binary.BigEndian.Uint64(b[8:])),
		size: int64(binary.BigEndian.Uint64(b[16:])), read: int64(binary.BigEndian.Uint64(b[24:])),
	}
	copy(d.digest[:], b[32:])
	return d, true
}

// decodeDigests reads what the file has, sorted, the last one of each blob. damaged is how many records before the last
// good one are not: after it may be what a crash has left.
func decodeDigests(b []byte) (all []blobDigest, damaged int, err error) {
	if len(b) < len(digestsMagic) || !bytes.Equal(b[:len(digestsMagic)], digestsMagic[:]) {
		return nil, 0, errBlocks
	}
	bad := 0
	for b = b[len(digestsMagic):]; len(b) >= digestLen; b = b[digestLen:] {
		if d, ok := decodeDigest(b); ok {
			all = append(all, d)
			damaged, bad = damaged+bad, 0
		} else {
			bad++
		}
	}
	slices.SortStableFunc(all, func(a, b blobDigest) int { return a.compare(b.oid, b.tid) })
	kept := all[:0]
	for i := range all {
		if i+1 == len(all) || all[i].compare(all[i+1].oid, all[i+1].tid) != 0 {
			kept = append(kept, all[i])
		}
	}
	return kept, damaged, nil
}

// A digestLog is the open file of digests.
type digestLog struct {
	disk    vfs.FS
	path    string
	known   []blobDigest // sorted
	seen    []bool       // of these, which blobs are still there
	walked  bool         // all blobs that are there have been seen
	file    vfs.File     // nil before the first record is added
	end     int64        // of the file
	added   []blobDigest // in this pass
	buf     []byte       // records that are not written yet
	damaged int
}

// openDigests reads the file beside the data file at path. The error is about a file that is no use; the log is that
// of an empty one then.
func openDigests(disk vfs.FS, path string) (*digestLog, error) {
	l := &digestLog{disk: disk, path: path + digestsSuffix}
	b, err := vfs.ReadFile(disk, l.path, maxOwnFile)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		l.known, l.damaged, err = decodeDigests(b)
	}
	if err != nil {
		return l, fmt.Errorf("read %s: %w", l.path, err)
	}
	l.seen = make([]bool, len(l.known))
	l.end = int64(len(b))
	return l, nil
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

// add notes a blob that was read. What was added is durable after the next flush.
func (l *digestLog) add(d blobDigest) error {
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
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	_, err := l.file.WriteAt(l.buf, l.end)
	if err == nil {
		err = l.file.Sync()
	}
	l.end += int64(len(l.buf))
	l.buf = l.buf[:0]
	return err
}

// open opens the file for records to be added, after a whole one.
func (l *digestLog) open() (err error) {
	if l.end < int64(len(digestsMagic)) {
		if err := writeFile(l.disk, l.path, digestsMagic[:]); err != nil {
			return err
		}
		l.end = int64(len(digestsMagic))
	}
	l.end -= (l.end - int64(len(digestsMagic))) % digestLen
	if l.file, err = l.disk.OpenFile(l.path, os.O_RDWR, 0); err != nil {
		return err
	}
	return l.disk.SyncDir(filepath.Dir(l.path))
}

// close ends the adding. A log of which less than half is of use is written anew.
func (l *digestLog) close() error {
	err := l.flush()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	live := len(l.added)
	for i := range l.seen {
		if l.live(i) {
			live++
		}
	}
	if err != nil || l.damaged == 0 && (l.end-int64(len(digestsMagic)))/digestLen <= 2*int64(live)+digestBatch {
		return err
	}
	return writeFile(l.disk, l.path, l.whole())
}

// live reports whether what is noted of a blob is of use: of a pass that did not come to all blobs, all is.
func (l *digestLog) live(i int) bool { return l.seen[i] || !l.walked }

// whole returns the content of a file with what is of use.
func (l *digestLog) whole() []byte {
	b := append([]byte(nil), digestsMagic[:]...)
	for i := range l.known {
		if l.live(i) {
			b = l.known[i].append(b)
		}
	}
	for i := range l.added {
		b = l.added[i].append(b)
	}
	return b
}
