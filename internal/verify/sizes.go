package verify

import (
	"cmp"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// NotedSizes are the sizes that blobs had when they were noted: what is known of a blob without reading it. It takes 24
// bytes for each.
type NotedSizes struct {
	known []blobSize // sorted
}

type blobSize struct {
	oid  zodb.Oid
	tid  zodb.Tid
	size int64
}

func (s *blobSize) compare(oid zodb.Oid, tid zodb.Tid) int {
	return cmp.Or(cmp.Compare(s.oid, oid), cmp.Compare(s.tid, tid))
}

// ReadNotedSizes reads what was noted of blobs of the data file at path, some records at a time. Where nothing can be
// read it is empty.
func ReadNotedSizes(disk vfs.FS, path string) *NotedSizes {
	n := &NotedSizes{}
	f, err := vfs.OrOS(disk).OpenFile(path+digestsSuffix, os.O_RDONLY, 0)
	if err != nil {
		return n
	}
	defer f.Close() //nolint:errcheck // only read
	magic := make([]byte, len(digestsMagic))
	if _, err := f.ReadAt(magic, 0); err != nil || recordLen(magic) == 0 {
		return n
	}
	length := recordLen(magic)
	buf := make([]byte, digestBatch*length)
	for at := int64(len(magic)); ; at += int64(len(buf)) {
		got, err := f.ReadAt(buf, at)
		n.add(buf[:got], length)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return &NotedSizes{}
			}
			break
		}
	}
	n.sort()
	return n
}

// add takes records, as they are in the file.
func (n *NotedSizes) add(b []byte, length int) {
	for ; len(b) >= length; b = b[length:] {
		if d, ok := decodeDigest(b[:length]); ok {
			n.known = append(n.known, blobSize{d.oid, d.tid, d.size})
		}
	}
}

// sort keeps the last one of each blob of which something is noted.
func (n *NotedSizes) sort() {
	slices.SortStableFunc(n.known, func(a, b blobSize) int { return a.compare(b.oid, b.tid) })
	kept := n.known[:0]
	for i, s := range n.known {
		if (i+1 == len(n.known) || s.compare(n.known[i+1].oid, n.known[i+1].tid) != 0) && s.size >= 0 {
			kept = append(kept, s)
		}
	}
	n.known = kept
}

// Of returns what was noted of a blob.
func (n *NotedSizes) Of(oid zodb.Oid, tid zodb.Tid) (size int64, ok bool) {
	i, found := slices.BinarySearchFunc(n.known, oid, func(s blobSize, oid zodb.Oid) int { return s.compare(oid, tid) })
	if !found {
		return 0, false
	}
	return n.known[i].size, true
}
