package workload

import (
	"context"
	"errors"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
)

// Open opens or creates the storage at data with the blob directory blobs, or without one when blobs is empty. Closing
// the storage closes both.
func Open(ctx context.Context, data, blobs string) (*filestorage.Storage, error) {
	if blobs == "" {
		return filestorage.Open(ctx, data, filestorage.Options{})
	}
	store, err := blobstore.Open(blobs, blobstore.Options{})
	if err != nil {
		return nil, err
	}
	storage, err := filestorage.Open(ctx, data, filestorage.Options{Blobs: store})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return storage, nil
}
