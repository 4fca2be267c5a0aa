package blobtools_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/zodb"
)

// countBlobs counts with a pack up to a transaction, without garbage collection.
func countBlobs(t *testing.T, s *site, stop zodb.Tid, now time.Time) *blobtools.Stats {
	t.Helper()
	stats, err := blobtools.CountBlobs(t.Context(), blobtools.StatsOptions{Path: s.data, Blobs: s.store, Now: now,
		Owner: func(oid zodb.Oid) string { return map[zodb.Oid]string{1: "Image", 2: "File", 3: "File"}[oid] },
		Dropped: func(ctx context.Context, drop func(zodb.Oid, zodb.Tid)) error {
			return s.st.PlannedPack(ctx, stop, filestorage.PackOptions{}, drop)
		}})
	must(t, err)
	return stats
}

// Each blob that is here has one place among the ages, the sizes and the owners.
func TestEachBlobIsCountedOnce(t *testing.T) {
	s := newSite(t, blobstore.Bushy)
	first := s.commit(1, 2)
	s.commit(1, 3)
	s.write(s.path(9, first), "no revision has it", 0o444)
	must(t, os.Remove(s.path(2, first)))
	size := int64(len(content(1, first)))

	got := countBlobs(t, s, s.last, first.Time().Add(10*24*time.Hour))
	all := blobtools.Count{Blobs: 3, Bytes: 3 * size}
	zero := blobtools.Count{}
	want := &blobtools.Stats{Path: s.data, Dir: s.dir, Layout: blobstore.Bushy, LastTid: s.last, All: all,
		Current: blobtools.Count{Blobs: 2, Bytes: 2 * size}, NotHere: 1, Unowned: blobtools.Count{Blobs: 1, Bytes: 18},
		Ages: []blobtools.Share{{"up to 1 day", zero}, {"up to 7 days", zero}, {"up to 30 days", all},
			{"up to 365 days", zero}, {"up to 5 years", zero}, {"older", zero}},
		Sizes: []blobtools.Share{{"up to 4 KiB", all}, {"up to 64 KiB", zero}, {"up to 1 MiB", zero},
			{"up to 16 MiB", zero}, {"up to 256 MiB", zero}, {"larger", zero}},
		Owners: []blobtools.Share{{"Image", blobtools.Count{Blobs: 2, Bytes: 2 * size}},
			{"File", blobtools.Count{Blobs: 1, Bytes: size}}},
		Pack: &blobtools.Count{Blobs: 1, Bytes: size}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What is said of the next pack is what it does.
func TestTheNextPackRemovesWhatWasCounted(t *testing.T) {
	s := newSite(t, blobstore.Lawn)
	var tids []zodb.Tid
	for i := range 8 {
		tids = append(tids, s.commit(1, 2+i%2, 1)) // an object twice in a transaction has one blob
	}
	for _, stop := range []zodb.Tid{tids[2], tids[5], tids[7]} {
		before := countBlobs(t, s, stop, time.Now())
		_, err := s.st.Pack(t.Context(), stop, filestorage.PackOptions{})
		must(t, err)
		after := countBlobs(t, s, stop, time.Now())
		if n := before.All.Blobs - after.All.Blobs; n == 0 || n != before.Pack.Blobs ||
			before.All.Bytes-after.All.Bytes != before.Pack.Bytes || after.Pack.Blobs != 0 {
			t.Errorf("up to %v: %d blobs went, of %+v; counted before: %+v, after: %+v", stop, n, before.All,
				before.Pack, after.Pack)
		}
	}
}
