package filestorage

import (
	"context"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// OpenBlob opens the blob that transaction tid wrote for oid; *zodb.POSKeyError with Blob set when there is none.
func (s *Storage) OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	if s.blobs == nil || tid > s.LastTid() {
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	return s.blobs.OpenBlob(oid, tid)
}

// BlobHere is OpenBlob of what can be opened without waiting, where the blob directory has only a part of the blobs.
func (s *Storage) BlobHere(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	here, can := s.blobs.(blobFetcher)
	if !can || tid > s.LastTid() {
		return s.OpenBlob(oid, tid)
	}
	return here.OpenHere(oid, tid)
}

// FetchesBlobs reports whether FetchBlob may bring blobs here.
func (s *Storage) FetchesBlobs() bool {
	_, can := s.blobs.(blobFetcher)
	return can
}

// A blobFetcher is a directory that has a part of the blobs.
type blobFetcher interface {
	Open(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (vfs.File, error)
	OpenHere(oid zodb.Oid, tid zodb.Tid) (vfs.File, error)
}

// FetchBlob has the blob of a revision brought here, where the blob directory has only a part of the blobs, and opens
// it. Elsewhere it is OpenBlob.
func (s *Storage) FetchBlob(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	fetching, can := s.blobs.(blobFetcher)
	if !can || tid > s.LastTid() {
		return s.OpenBlob(oid, tid)
	}
	return fetching.Open(ctx, oid, tid)
}
