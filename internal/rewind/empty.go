package rewind

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// Empty reports whether all transactions of a storage behind last have no records and never had any: taking them out
// loses no data. A transaction that a pack has written may have had some.
func Empty(ctx context.Context, st *filestorage.Storage, last zodb.Tid) (bool, error) {
	it, err := st.Iterate(last, false)
	if err != nil {
		return false, fmt.Errorf("looking for records behind %v: %w", last, err)
	}
	defer it.Close() //nolint:errcheck // read only
	for {
		txn, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("looking for records behind %v: %w", last, err)
		}
		if txn.Meta().Status != zodb.StatusCommitted {
			return false, nil
		}
		switch _, err := txn.NextRecord(); {
		case err == nil:
			return false, nil
		case !errors.Is(err, io.EOF):
			return false, fmt.Errorf("looking for records behind %v: %w", last, err)
		}
	}
}
