package blobcache_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// notedSizes is a blobstore.Notes.
type notedSizes struct {
	mu    sync.Mutex
	sizes map[zodb.Oid]int64
}

func (n *notedSizes) Content(oid zodb.Oid, _ zodb.Tid, size int64, _ *[sha256.Size]byte, _ bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sizes[oid] = size
}

func (n *notedSizes) Gone(zodb.Oid, zodb.Tid, bool) {}

func (n *notedSizes) Size(oid zodb.Oid, _ zodb.Tid) (int64, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	size, ok := n.sizes[oid]
	return size, ok
}

// A cached blob that was cut off is fetched again; what a source has that was cut off itself is not taken; and where
// nobody has the blob, the error is none that says that it does not exist.
func TestACachedBlobThatWasCutIsFetchedAgain(t *testing.T) {
	disk := simdisk.New()
	store, err := blobstore.Open("blobs", blobstore.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	store.Notes = &notedSizes{sizes: map[zodb.Oid]int64{}}
	short := &source{n: 5, size: 10, keeps: true}
	right := &source{n: 5, size: 5000, keeps: true}
	sources := []blobcache.Source{right}
	d := blobcache.New(t.Context(), blobcache.Options{Store: store, Target: 1 << 20,
		Sources: func() []blobcache.Source { return sources }})
	mustRead(t, d, 1, 5000)
	cut := func() {
		f, err := disk.OpenFile(store.BlobPath(1, 1), os.O_RDWR, 0)
		if err = errors.Join(err, f.Truncate(7), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	cut()
	mustRead(t, d, 1, 5000)
	if n := right.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
	cut()
	sources = []blobcache.Source{short, right}
	if got, err := read(d, 1); err != nil || !bytes.Equal(got, content(1, 5000)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	cut()
	sources = []blobcache.Source{short}
	_, err = read(d, 1)
	away, missing := (*blobcache.AwayError)(nil), (*zodb.POSKeyError)(nil)
	if !errors.As(err, &away) || errors.As(err, &missing) {
		t.Errorf("nobody has it: %v", err)
	}
}
