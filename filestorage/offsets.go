package filestorage

import (
	"iter"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Offsets maps oids to offsets of records, in about 9 bytes for each of many neighbouring oids. It is for one
// goroutine.
type Offsets struct{ x *index }

// NewOffsets returns an empty map.
func NewOffsets() *Offsets { return &Offsets{newIndex()} }

// SavedIndex reads the index file of the Data.fs at path, and returns with it the size that the Data.fs had when it was
// saved. disk nil: the real one. The error wraps fs.ErrNotExist when there is none.
func SavedIndex(disk vfs.FS, path string) (*Offsets, int64, error) {
	x, pos, err := loadIndex(vfs.OrOS(disk), path+".index")
	if err != nil {
		return nil, 0, err
	}
	return &Offsets{x}, pos, nil
}

// Get returns the offset of oid, 0 when it has none.
func (o *Offsets) Get(oid zodb.Oid) int64 {
	pos, _ := o.x.get(oid)
	return pos
}

// Set makes pos, which must be above 0, the offset of oid.
func (o *Offsets) Set(oid zodb.Oid, pos int64) { o.x.set(oid, pos) }

// Len returns the number of oids.
func (o *Offsets) Len() int { return o.x.len() }

// All yields oids and their offsets, in ascending order of oids.
func (o *Offsets) All() iter.Seq2[zodb.Oid, int64] { return o.x.all() }
