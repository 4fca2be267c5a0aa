package rewind

import (
	"context"
	"io"
	"path/filepath"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// FindBlobs returns where the blobs of a storage are if no directory was given: the folder blobs beside the Data.fs, if
// it is a blob directory; empty: none is known.
func FindBlobs(disk vfs.FS, data string) string {
	dir := filepath.Join(filepath.Dir(data), "blobs")
	if _, err := disk.Stat(filepath.Join(dir, ".layout")); err != nil {
		return ""
	}
	return dir
}

// blobClass is that of records that have a blob.
const blobClass = "ZODB.blob.Blob"

// NeedsBlobs refuses to remove the transactions after last if they have blobs and the storage was opened without blobs:
// the blobs would stay in the directory, and be missing in the fragment.
func NeedsBlobs(ctx context.Context, st *filestorage.Storage, last zodb.Tid) error {
	if st.HasBlobs() {
		return nil
	}
	for txn, err := range st.Transactions(ctx, last) {
		if err == nil {
			err = hasNoBlob(txn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func hasNoBlob(txn zodb.Transaction) error {
	for rec, err := range zodb.Records(txn) {
		if err != nil {
			return err
		}
		if rec.Data == nil || rec.Size < 0 || rec.Size > record.HeadLen {
			continue
		}
		data, err := io.ReadAll(rec.Data)
		if err != nil {
			return err
		}
		if record.ClassOf(data) == blobClass {
			return refuse(
				"transaction %v has a blob of oid %v, which has to be set aside with it: say where the blobs are "+
					"with --blobs DIR",
				rec.Tid,
				rec.Oid,
			)
		}
	}
	return nil
}
