package integration

import (
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/zodb"
)

// newOwner lets the test itself be the application that owns an empty storage.
func newOwner(t *testing.T, storage *filestorage.Storage, seed uint64) *workload.Owner {
	t.Helper()
	shape := workload.Shape{Objects: 20, RecordSize: 3000}
	if storage.HasBlobs() {
		shape.Blobs, shape.BlobSize = 5, 150_000
	}
	owner, err := workload.NewOwner(t.Context(), storage, shape, seed)
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

func commitSome(t *testing.T, owner *workload.Owner, n int) (last zodb.Tid) {
	t.Helper()
	for range n {
		tid, err := owner.Commit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last = tid
	}
	return last
}

// ownHistory fills the site with n transactions, closes it and returns the last tid.
func ownHistory(t *testing.T, s *site, n int) zodb.Tid {
	t.Helper()
	storage := s.open(t)
	last := commitSome(t, newOwner(t, storage, 1), n)
	if err := storage.Close(); err != nil {
		t.Fatal(err)
	}
	return last
}
