package rewind

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// Empty reports whether all transactions of a storage after last have no records and never had any: taking them out
// loses no data. A transaction that a pack has written may have had some.
func Empty(ctx context.Context, st *filestorage.Storage, last zodb.Tid) (bool, error) {
	records, packed, err := holds(ctx, st, last, true)
	return !records && !packed, err
}

// Holds looks at all transactions of a storage after last: whether there is a record, and whether there is a
// transaction that is not as it was committed, because a pack has written it.
func Holds(ctx context.Context, st *filestorage.Storage, last zodb.Tid) (records, packed bool, err error) {
	return holds(ctx, st, last, false)
}

// holds stops at the first of both where brief.
func holds(ctx context.Context, st *filestorage.Storage, last zodb.Tid, brief bool) (records, packed bool, err error) {
	for txn, err := range st.Transactions(ctx, last) {
		if err != nil {
			return false, false, fmt.Errorf("looking for records after %v: %w", last, err)
		}
		packed = packed || txn.Meta().Status != zodb.StatusCommitted
		switch _, err := txn.NextRecord(); {
		case err == nil:
			records = true
		case !errors.Is(err, io.EOF):
			return false, false, fmt.Errorf("looking for records after %v: %w", last, err)
		}
		if brief && (records || packed) {
			break
		}
	}
	return records, packed, nil
}
