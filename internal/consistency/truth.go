package consistency

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// A Txn is a transaction in a file, as far as it is one of the clients.
type Txn struct {
	Tid    zodb.Tid
	Writes map[zodb.Oid]string // values; empty for what has none
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

// NewTruth returns the union of what several files have. Where two have the same revision, it must be the same; a file
// that was packed may lack some.
func NewTruth(files ...[]Txn) (*Truth, error) {
	t := &Truth{
		txns: map[zodb.Tid]Txn{}, revisions: map[zodb.Oid][]zodb.Tid{}, written: map[revision][]zodb.Tid{},
	}
	for _, file := range files {
		for _, txn := range file {
			if err := t.add(txn); err != nil {
				return nil, err
			}
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

func (t *Truth) add(txn Txn) error {
	all, known := t.txns[txn.Tid]
	if !known {
		all = Txn{txn.Tid, map[zodb.Oid]string{}}
		t.txns[txn.Tid] = all
	}
	for oid, value := range txn.Writes {
		if there, twice := all.Writes[oid]; twice && there != value {
			return fmt.Errorf("transaction %v has oid %v as %q in one file and as %q in another", txn.Tid, oid, there,
				value)
		}
		all.Writes[oid] = value
	}
	return nil
}

// Without returns the transactions of t with revisions that other has not.
func (t *Truth) Without(other *Truth) []Txn {
	var list []Txn
	for _, tid := range t.Tids() {
		for oid, value := range t.txns[tid].Writes {
			if other.txns[tid].Writes[oid] != value {
				list = append(list, t.txns[tid])
				break
			}
		}
	}
	return list
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
	i, found := slices.BinarySearch(all, tid)
	switch {
	case found:
		return tid
	case i == 0:
		return 0
	}
	return all[i-1]
}

// next returns the serial of the revision that follows one, MaxTid if there is none.
func (t *Truth) next(oid zodb.Oid, serial zodb.Tid) zodb.Tid {
	all := t.revisions[oid]
	i, found := slices.BinarySearch(all, serial)
	if found {
		i++
	}
	if i == len(all) {
		return zodb.MaxTid
	}
	return all[i]
}

// A File has a history, as a filestorage.Storage with its blobs.
type File interface {
	Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error)
}

// A ValueFunc returns the value that a record gives to its object, and false for a record that is of no interest.
type ValueFunc func(rec *zodb.Record) (value string, ok bool, err error)

// ReadFile returns all transactions of a file with the values of their records.
func ReadFile(ctx context.Context, file File, value ValueFunc) (txns []Txn, err error) {
	it, err := file.Iterate(0, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for txn, err := range zodb.Transactions(ctx, it) {
		if err != nil {
			return nil, err
		}
		writes, err := writesOf(txn, value)
		if err != nil {
			return nil, fmt.Errorf("transaction %v: %w", txn.Meta().Tid, err)
		}
		txns = append(txns, Txn{txn.Meta().Tid, writes})
	}
	return txns, nil
}

func writesOf(txn zodb.Transaction, value ValueFunc) (map[zodb.Oid]string, error) {
	writes := map[zodb.Oid]string{}
	for rec, err := range zodb.Records(txn) {
		if err != nil {
			return nil, err
		}
		text, ok, err := value(rec)
		if err != nil {
			return nil, fmt.Errorf("oid %v: %w", rec.Oid, err)
		}
		if ok {
			writes[rec.Oid] = text
		}
	}
	return writes, nil
}
