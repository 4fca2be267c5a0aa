package history

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// A File has a history, as a filestorage.Storage with its blobs.
type File interface {
	Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error)
}

// ReadTruth reads all of a history that was never packed.
func ReadTruth(ctx context.Context, file File) (_ *Truth, err error) {
	it, err := file.Iterate(0, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var txns []Txn
	for {
		txn, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return NewTruth(txns), nil
		}
		if err != nil {
			return nil, err
		}
		writes, err := writesOf(txn)
		if err != nil {
			return nil, fmt.Errorf("transaction %v: %w", txn.Meta().Tid, err)
		}
		txns = append(txns, Txn{txn.Meta().Tid, writes})
	}
}

func writesOf(txn zodb.Transaction) (map[zodb.Oid]string, error) {
	writes := map[zodb.Oid]string{}
	for {
		rec, err := txn.NextRecord()
		if errors.Is(err, io.EOF) {
			return writes, nil
		}
		if err != nil {
			return nil, err
		}
		if writes[rec.Oid], err = valueOf(rec); err != nil {
			return nil, fmt.Errorf("oid %v: %w", rec.Oid, err)
		}
	}
}
