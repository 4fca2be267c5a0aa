package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/zodb"
)

// maxValue bounds the records that are looked at: those of a drill are shorter.
const maxValue = 1 << 16

// ReadFile returns the transactions of drills in a Data.fs, which no process has open, as far as they wrote any of the
// objects. Others are left out.
func ReadFile(ctx context.Context, path string, objects map[zodb.Oid]bool) ([]consistency.Txn, error) {
	txns, err := read(ctx, path, func(r *zodb.Record) (string, bool, error) {
		if !objects[r.Oid] || r.Size == zodb.NoData {
			return "", false, nil
		}
		data, err := io.ReadAll(io.LimitReader(r.Data, maxValue))
		if err != nil {
			return "", false, err
		}
		value, err := valueOf(r.Oid, data)
		return value, true, err
	})
	return slices.DeleteFunc(txns, func(txn consistency.Txn) bool { return len(txn.Writes) == 0 }), err
}

// Tids returns those of all transactions in a Data.fs, whoever wrote them.
func Tids(ctx context.Context, path string) ([]zodb.Tid, error) {
	txns, err := read(ctx, path, func(*zodb.Record) (string, bool, error) { return "", false, nil })
	tids := make([]zodb.Tid, 0, len(txns))
	for _, txn := range txns {
		tids = append(tids, txn.Tid)
	}
	return tids, err
}

func read(ctx context.Context, path string, value consistency.ValueFunc) (_ []consistency.Txn, err error) {
	st, err := filestorage.Open(ctx, path, filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		return nil, fmt.Errorf("reading what the drill has left in %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	txns, err := consistency.ReadFile(ctx, st, value)
	if err != nil {
		return nil, fmt.Errorf("reading what the drill has left in %s: %w", path, err)
	}
	return txns, nil
}
