package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// MaxBlobQuery is how many blobs one BlobQuery may name.
const MaxBlobQuery = 512

// A BlobDigest is the content of a blob: its size in bytes, and the first half of its SHA-256. On the wire:
//
//	oid(8) tid(8) size(8) sum(16)    big-endian
type BlobDigest struct {
	Oid  zodb.Oid
	Tid  zodb.Tid
	Size int64
	Sum  [16]byte
}

const blobDigestLen = 40

// A BlobQuery asks a node whether it has noted other content of some blobs. It may follow a HistoryAnswer that has
// Blobs.
type BlobQuery struct {
	Digests []byte `msgpack:"digests"` // one BlobDigest after the other
}

// A BlobAnswer answers a BlobQuery.
type BlobAnswer struct {
	Known   int    `msgpack:"known"`   // blobs of the query of which the node has noted the content
	Other   []int  `msgpack:"other"`   // which of them, by number from 0, in ascending order, have other content
	Digests []byte `msgpack:"digests"` // of those in Other, one after the other; empty: an older node does not say
	// Committed are those of Other that were noted when a client gave them to the node: they cannot have been damaged
	// before.
	Committed []int  `msgpack:"committed"`
	Unknown   string `msgpack:"unknown"` // why the node cannot tell of any; empty: it can
}

// Add appends a blob to the question.
func (q *BlobQuery) Add(d BlobDigest) { q.Digests = d.append(q.Digests) }

func (d *BlobDigest) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(d.Oid))
	b = binary.BigEndian.AppendUint64(b, uint64(d.Tid))
	b = binary.BigEndian.AppendUint64(b, uint64(d.Size))
	return append(b, d.Sum[:]...)
}

// decodeBlobDigest reads the first one of b.
func decodeBlobDigest(b []byte) BlobDigest {
	d := BlobDigest{
		Oid: zodb.Oid(binary.BigEndian.Uint64(b)), Tid: zodb.Tid(binary.BigEndian.Uint64(b[8:])),
		Size: int64(binary.BigEndian.Uint64(b[16:])),
	}
	copy(d.Sum[:], b[24:])
	return d
}

// AddOther notes that number i of the question has other content.
func (a *BlobAnswer) AddOther(i int, noted BlobDigest) {
	a.Other = append(a.Other, i)
	a.Digests = noted.append(a.Digests)
}

// IsCommitted reports whether number i of the question is one of Committed.
func (a *BlobAnswer) IsCommitted(i int) bool { return slices.Contains(a.Committed, i) }

// OtherDigest returns what the node has noted of the blob that is at place n in Other, of an answer that was checked;
// ok is false where it does not say.
func (a *BlobAnswer) OtherDigest(n int) (d BlobDigest, ok bool) {
	if len(a.Digests) == 0 {
		return d, false
	}
	return decodeBlobDigest(a.Digests[n*blobDigestLen:]), true
}

// Len returns how many blobs the question is about.
func (q *BlobQuery) Len() int { return len(q.Digests) / blobDigestLen }

// Check reports a question that is none.
func (q *BlobQuery) Check() error {
	switch {
	case len(q.Digests)%blobDigestLen != 0:
		return errors.New("the last blob of the question is not whole")
	case q.Len() > MaxBlobQuery:
		return fmt.Errorf("%d blobs in one question; the limit is %d", q.Len(), MaxBlobQuery)
	}
	return nil
}

// All yields the blobs of a question that Check takes, with their numbers.
func (q *BlobQuery) All() iter.Seq2[int, BlobDigest] {
	return func(yield func(int, BlobDigest) bool) {
		for i := range q.Len() {
			if !yield(i, decodeBlobDigest(q.Digests[i*blobDigestLen:])) {
				return
			}
		}
	}
}

// Check reports an answer that cannot be one to a question about so many blobs.
func (a *BlobAnswer) Check(asked int) error {
	last := -1
	for _, i := range a.Other {
		if i <= last || i >= asked {
			return fmt.Errorf("it was asked about %d blobs, and answers about number %d", asked, i)
		}
		last = i
	}
	last = -1
	for _, i := range a.Committed {
		if i <= last || !slices.Contains(a.Other, i) {
			return fmt.Errorf("it says that number %d was committed there, and not that it is different", i)
		}
		last = i
	}
	if n := len(a.Digests); n != 0 && n != len(a.Other)*blobDigestLen {
		return fmt.Errorf("it has digests of %d bytes for %d blobs", n, len(a.Other))
	}
	if a.Known < len(a.Other) || a.Known > asked {
		return fmt.Errorf("it was asked about %d blobs, and knows %d, of which %d are different", asked, a.Known,
			len(a.Other))
	}
	return nil
}
