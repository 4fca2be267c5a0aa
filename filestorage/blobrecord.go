package filestorage

import (
	"context"
	"errors"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// FirstBlob looks through the Data.fs at path for a record of a blob, and returns it; nil: there is none. It takes no
// lock and reads the file once, from the front. disk nil: the real one. It stops at damage, which opening the file will
// report. progress may be nil.
func FirstBlob(ctx context.Context, disk vfs.FS, path string, progress func(done, total int64)) (*RawRecord, error) {
	in, err := Inspect(disk, path)
	if err != nil {
		return nil, undamaged(err)
	}
	defer in.Close() //nolint:errcheck // only read
	for txn, err := range in.Transactions() {
		if err != nil {
			return nil, undamaged(err)
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(txn.Pos, in.Size())
		}
		if rec, err := in.firstBlob(); rec != nil || err != nil {
			return rec, undamaged(err)
		}
	}
	return nil, nil //nolint:nilnil // it has none
}

// firstBlob does so for a transaction.
func (in *Inspector) firstBlob() (*RawRecord, error) {
	for rec, err := range in.Records() {
		if err != nil {
			return nil, err
		}
		if rec.Size == 0 { // what it points to was seen
			continue
		}
		blob, err := in.IsBlob(rec)
		if err != nil {
			return nil, err
		}
		if blob {
			return rec, nil
		}
	}
	return nil, nil //nolint:nilnil // it has none
}

// undamaged leaves errors that are not about what stands in a file.
func undamaged(err error) error {
	var corrupt *zodb.CorruptError
	if errors.As(err, &corrupt) {
		return nil
	}
	return err
}
