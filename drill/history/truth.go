package history

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// A Txn is a transaction in a file, as far as it is one of the drill.
type Txn struct {
	Tid    zodb.Tid
	Writes map[zodb.Oid]string
}

// A Truth is a set of transactions.
type Truth struct {
	txns      map[zodb.Tid]Txn
	revisions map[zodb.Oid][]zodb.Tid // in order
	written   map[revision][]zodb.Tid // by whom a value was written
}

// A revision is a value given to an object.
type revision struct {
	oid   zodb.Oid
	value string
}

// NewTruth returns the union of what several files have. Where two have the same transaction, it must be the same.
func NewTruth(files ...[]Txn) (*Truth, error) {
	t := &Truth{
		txns: map[zodb.Tid]Txn{}, revisions: map[zodb.Oid][]zodb.Tid{}, written: map[revision][]zodb.Tid{},
	}
	for _, file := range files {
		for _, txn := range file {
			if known, twice := t.txns[txn.Tid]; twice && !maps.Equal(known.Writes, txn.Writes) {
				return nil, fmt.Errorf("transaction %v is %v in one file and %v in another", txn.Tid, known.Writes,
					txn.Writes)
			}
			t.txns[txn.Tid] = txn
		}
	}
	for _, tid := range t.Tids() {
		for oid, value := range t.txns[tid].Writes {
			t.revisions[oid] = append(t.revisions[oid], tid)
			t.written[revision{oid, value}] = append(t.written[revision{oid, value}], tid)
		}
	}
	return t, nil
}

// Tids returns the transactions in order.
func (t *Truth) Tids() []zodb.Tid { return slices.Sorted(maps.Keys(t.txns)) }

// has reports whether a revision is there as it was seen.
func (t *Truth) has(oid zodb.Oid, seen Seen) bool {
	value, ok := t.txns[seen.Serial].Writes[oid]
	return ok && value == seen.Value
}

// current returns the serial of an object as of a transaction, 0 for none.
func (t *Truth) current(oid zodb.Oid, tid zodb.Tid) zodb.Tid {
	all := t.revisions[oid]
	behind, found := slices.BinarySearch(all, tid)
	switch {
	case found:
		return tid
	case behind == 0:
		return 0
	}
	return all[behind-1]
}
