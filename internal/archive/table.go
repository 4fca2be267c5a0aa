package archive

import (
	"encoding/binary"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

const (
	entryLen = 72
	// NoBlob is the size of a blob that the node did not have.
	NoBlob = -1
)

// A BlobEntry is a blob that a segment refers to.
type BlobEntry struct {
	Oid    zodb.Oid
	Tid    zodb.Tid
	Size   int64 // NoBlob: there is none in the archive
	Digest Digest
	Name   uint64 // of its object, random
	Age    bool   // the content is for age's recipients
}

// encodeTable returns the table, not compressed.
func encodeTable(list []BlobEntry) []byte {
	b := make([]byte, 0, len(list)*entryLen)
	for i := range list {
		e := &list[i]
		b = binary.BigEndian.AppendUint64(b, uint64(e.Oid))
		b = binary.BigEndian.AppendUint64(b, uint64(e.Tid))
		b = binary.BigEndian.AppendUint64(b, uint64(e.Size))
		b = append(b, e.Digest[:]...)
		b = binary.BigEndian.AppendUint64(b, e.Name)
		flags := uint64(0)
		if e.Age {
			flags = flagAge
		}
		b = binary.BigEndian.AppendUint64(b, flags)
	}
	return b
}

// decodeTable is the opposite.
func decodeTable(b []byte, count uint64) ([]BlobEntry, error) {
	if uint64(len(b)) != count*entryLen {
		return nil, fmt.Errorf("its table has %d bytes, want %d blobs of %d", len(b), count, entryLen)
	}
	list := make([]BlobEntry, 0, count)
	for r := fieldReader(b); len(r) > 0; {
		e := BlobEntry{Oid: zodb.Oid(r.number()), Tid: zodb.Tid(r.number()), Size: int64(r.number())}
		e.Digest, e.Name = r.digest(), r.number()
		flags := r.number()
		if flags&^flagAge != 0 || e.Size < NoBlob {
			return nil, fmt.Errorf("the entry of the blob of oid %v tid %v has flags %#x and %d bytes", e.Oid, e.Tid,
				flags, e.Size)
		}
		e.Age = flags&flagAge != 0
		list = append(list, e)
	}
	return list, nil
}
