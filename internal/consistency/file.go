package consistency

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

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
