package history

import (
	"maps"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// A Txn is a transaction in the file.
type Txn struct {
	Tid    zodb.Tid
	Writes map[zodb.Oid]string // values; empty for what has none
}

// A Truth is all that was ever committed. It does not change.
type Truth struct {
	txns      map[zodb.Tid]Txn
	revisions map[zodb.Oid][]zodb.Tid // in order
	written   map[write][]zodb.Tid    // by whom a value was written, in order
}

// A write is a value given to an object.
type write struct {
	oid   zodb.Oid
	value string
}

// NewTruth makes a Truth of transactions, whose tids rise.
func NewTruth(txns []Txn) *Truth {
	t := &Truth{txns: map[zodb.Tid]Txn{}, revisions: map[zodb.Oid][]zodb.Tid{}, written: map[write][]zodb.Tid{}}
	for _, txn := range txns {
		t.txns[txn.Tid] = txn
		for oid, value := range txn.Writes {
			t.revisions[oid] = append(t.revisions[oid], txn.Tid)
			t.written[write{oid, value}] = append(t.written[write{oid, value}], txn.Tid)
		}
	}
	return t
}

// Len returns the number of transactions.
func (t *Truth) Len() int { return len(t.txns) }

// tids returns all of them, in order.
func (t *Truth) tids() []zodb.Tid { return slices.Sorted(maps.Keys(t.txns)) }

// current returns the serial of an object as of the transaction tid, 0 if there was no such object.
func (t *Truth) current(oid zodb.Oid, tid zodb.Tid) zodb.Tid {
	revisions := t.revisions[oid]
	behind, found := slices.BinarySearch(revisions, tid)
	if found {
		return tid
	}
	if behind == 0 {
		return 0
	}
	return revisions[behind-1]
}

// replaced returns the serial that was current just before tid.
func (t *Truth) replaced(oid zodb.Oid, tid zodb.Tid) zodb.Tid { return t.current(oid, tid-1) }

// next returns the serial of the revision that follows one, MaxTid if there is none.
func (t *Truth) next(oid zodb.Oid, serial zodb.Tid) zodb.Tid {
	revisions := t.revisions[oid]
	behind, found := slices.BinarySearch(revisions, serial)
	if found {
		behind++
	}
	if behind == len(revisions) {
		return zodb.MaxTid
	}
	return revisions[behind]
}
