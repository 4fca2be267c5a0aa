package workload

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/drill/history"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// maxValue bounds the records that are looked at: those of a drill are shorter.
const maxValue = 1 << 16

// ReadFile returns the transactions of drills in a Data.fs, which nobody has open, as far as they wrote any of the
// objects. Others are left out.
func ReadFile(ctx context.Context, path string, objects map[zodb.Oid]bool) (txns []history.Txn, err error) {
	err = each(ctx, path, func(txn zodb.Transaction) error {
		writes, err := written(txn, objects)
		if len(writes) > 0 {
			txns = append(txns, history.Txn{Tid: txn.Meta().Tid, Writes: writes})
		}
		return err
	})
	return txns, err
}

// Tids returns those of all transactions in a Data.fs, whoever wrote them.
func Tids(ctx context.Context, path string) (tids []zodb.Tid, err error) {
	err = each(ctx, path, func(txn zodb.Transaction) error {
		tids = append(tids, txn.Meta().Tid)
		return nil
	})
	return tids, err
}

func each(ctx context.Context, path string, do func(zodb.Transaction) error) (err error) {
	st, err := filestorage.Open(ctx, path, filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		return fmt.Errorf("reading what the drill has left in %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	it, err := st.Iterate(0, false)
	if err != nil {
		return fmt.Errorf("reading what the drill has left in %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for {
		txn, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading what the drill has left in %s: %w", path, err)
		}
		if err := do(txn); err != nil {
			return fmt.Errorf("transaction %v of %s: %w", txn.Meta().Tid, path, err)
		}
	}
}

// written returns the values that a transaction gave to objects of the drill.
func written(txn zodb.Transaction, objects map[zodb.Oid]bool) (map[zodb.Oid]string, error) {
	writes := map[zodb.Oid]string{}
	for {
		r, err := txn.NextRecord()
		if errors.Is(err, io.EOF) {
			return writes, nil
		}
		if err != nil {
			return nil, err
		}
		if !objects[r.Oid] || r.Size == zodb.NoData {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(r.Data, maxValue))
		if err != nil {
			return nil, err
		}
		if writes[r.Oid], err = valueOf(r.Oid, data); err != nil {
			return nil, err
		}
	}
}
