package blobstore

import (
	"errors"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// TestABlobThatIsNotInACacheWasEvicted by both ways of looking for it; one that is there is opened.
func TestABlobThatIsNotInACacheWasEvicted(t *testing.T) {
	disk := simdisk.New()
	s := open(t, "blobs", Options{FS: disk})
	b := stage(t, s, 1, 1, []byte("a"))
	if err := errors.Join(b.Sync(), b.Publish(), b.SyncDir(), s.MarkPartial()); err != nil {
		t.Fatal(err)
	}
	c := s.AsCache()
	f, err := c.OpenBlob(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if size, err := c.Stat(1, 1); size != 1 || err != nil {
		t.Errorf("%d bytes, %v", size, err)
	}
	_, err = c.OpenBlob(1, 2)
	_, err2 := c.Stat(1, 2)
	for _, err := range []error{err, err2} {
		var evicted *EvictedError
		var missing *zodb.POSKeyError
		if !errors.As(err, &evicted) || evicted.Tid != 2 || evicted.Dir != "blobs" || errors.As(err, &missing) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := OpenShared("blobs", disk); err == nil {
		t.Error("a cache is shared")
	}
}
