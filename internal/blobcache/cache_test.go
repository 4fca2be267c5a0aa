package blobcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// content is what the blob of an oid has.
func content(oid zodb.Oid, size int) []byte {
	b := make([]byte, size)
	var seed [32]byte
	copy(seed[:], fmt.Sprint(oid))
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// A source has the blobs of oids 1 to n, of size bytes each.
type source struct {
	n       zodb.Oid
	size    int
	keeps   bool
	away    atomic.Bool
	fetches atomic.Int64
	began   chan struct{} // has an element for each fetch; nil: nobody waits for it
	hold    chan struct{} // fetches wait for it; nil: they do not
}

var errAway = errors.New("it is away")

func (s *source) String() string { return "source" }
func (s *source) Keeps() bool    { return s.keeps }

func (s *source) has(oid zodb.Oid, tid zodb.Tid) error {
	switch {
	case s.away.Load():
		return errAway
	case oid > s.n:
		return &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	return nil
}

func (s *source) Size(_ context.Context, oid zodb.Oid, tid zodb.Tid) (int64, error) {
	return int64(s.size), s.has(oid, tid)
}

func (s *source) Fetch(ctx context.Context, oid zodb.Oid, tid zodb.Tid, into zodb.BlobPart) (int64, error) {
	s.fetches.Add(1)
	if s.hold != nil {
		s.began <- struct{}{}
		select {
		case <-s.hold:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	if err := s.has(oid, tid); err != nil {
		return 0, err
	}
	_, err := into.WriteAt(content(oid, s.size), 0)
	return int64(s.size), err
}

func newCache(t *testing.T, disk vfs.FS, target int64, sources ...blobcache.Source) *blobcache.Dir {
	t.Helper()
	return newCacheAt(t, disk, "/blobs", target, sources...)
}

func newCacheAt(tb testing.TB, disk vfs.FS, dir string, target int64, sources ...blobcache.Source) *blobcache.Dir {
	tb.Helper()
	store, err := blobstore.Open(dir, blobstore.Options{FS: disk})
	if err != nil {
		tb.Fatal(err)
	}
	return blobcache.New(tb.Context(), blobcache.Options{Store: store, Target: target,
		Sources: func() []blobcache.Source { return sources }})
}

// run has the cache look once at what is too much.
func run(t *testing.T, d *blobcache.Dir) {
	t.Helper()
	d.KeepTarget(t.Context())
}

func read(d *blobcache.Dir, oid zodb.Oid) ([]byte, error) {
	f, err := d.OpenBlob(oid, 1)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	return b, errors.Join(err, f.Close())
}

func mustRead(t *testing.T, d *blobcache.Dir, oid zodb.Oid, size int) {
	t.Helper()
	b, err := read(d, oid)
	if err != nil || !bytes.Equal(b, content(oid, size)) {
		t.Errorf("blob %v has %d bytes, not the right %d: %v", oid, len(b), size, err)
	}
}

func here(t *testing.T, d *blobcache.Dir, oid zodb.Oid) bool {
	t.Helper()
	_, err := d.Store.Stat(oid, 1)
	missing := (*zodb.POSKeyError)(nil)
	if err != nil && !errors.As(err, &missing) {
		t.Fatal(err)
	}
	return err == nil
}

// TestTheOldestBlobsGoWhenTheTargetIsExceeded: what was used last stays, and what went comes back when it is asked for.
func TestTheOldestBlobsGoWhenTheTargetIsExceeded(t *testing.T) {
	s := &source{n: 20, size: 100, keeps: true}
	d := newCache(t, simdisk.New(), 1000, s)
	for oid := zodb.Oid(1); oid <= 10; oid++ {
		mustRead(t, d, oid, 100)
	}
	mustRead(t, d, 1, 100)
	run(t, d)
	if st := d.Stats(); st.Bytes != 1000 || st.Blobs != 10 {
		t.Errorf("at the target nothing goes: %+v", st)
	}
	mustRead(t, d, 11, 100)
	run(t, d)
	if st := d.Stats(); st.Bytes != 900 || st.Evicted != 2 {
		t.Errorf("above the target so much goes that a tenth of it is free: %+v", st)
	}
	if !here(t, d, 1) || here(t, d, 2) || here(t, d, 3) || !here(t, d, 4) {
		t.Error("others than those that were used longest ago have gone")
	}
	mustRead(t, d, 2, 100)
	if st := d.Stats(); st.Misses != 12 || st.Hits != 13 {
		t.Errorf("12 blobs were fetched, and each was opened: %+v", st)
	}
}

// TestWhatIsNowhereElseStays: a source that lacks a blob, is away, or is a cache itself keeps nothing from being lost.
func TestWhatIsNowhereElseStays(t *testing.T) {
	lacking := &source{n: 0, size: 100, keeps: true}
	away := &source{n: 20, size: 100, keeps: true}
	away.away.Store(true)
	cache := &source{n: 20, size: 100}
	otherSize := &source{n: 20, size: 99, keeps: true}
	d := newCache(t, simdisk.New(), 1000, lacking, away, cache, otherSize)
	for oid := zodb.Oid(1); oid <= 15; oid++ {
		commit(t, d, oid, 100)
	}
	run(t, d)
	if st := d.Stats(); st.Blobs != 15 || st.Evicted != 0 || st.Stuck == 0 {
		t.Errorf("blobs have gone that may be nowhere else: %+v", st)
	}
	away.away.Store(false)
	run(t, d)
	if st := d.Stats(); st.Blobs != 9 || st.Evicted != 6 {
		t.Errorf("a source has them all now: %+v", st)
	}
}

// TestWhatIsNowhereElseAnyMoreStays: a node that gave a blob is lost, and what is in the cache is all that is left.
func TestWhatIsNowhereElseAnyMoreStays(t *testing.T) {
	s := &source{n: 20, size: 100, keeps: true}
	d := newCache(t, simdisk.New(), 1000, s)
	for oid := zodb.Oid(1); oid <= 11; oid++ {
		mustRead(t, d, oid, 100)
	}
	s.away.Store(true)
	run(t, d)
	if st := d.Stats(); st.Blobs != 11 || st.Evicted != 0 {
		t.Errorf("blobs have gone whose source cannot be asked: %+v", st)
	}
}

// commit makes a blob as a transaction does.
func commit(t *testing.T, d *blobcache.Dir, oid zodb.Oid, size int) {
	t.Helper()
	b, err := d.Stage(oid, 1, bytes.NewReader(content(oid, size)))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Sync(), b.Publish(), b.SyncDir()); err != nil {
		t.Fatal(err)
	}
}

// TestManyReadersOfOneBlobFetchItOnce, and one that leaves does not take the blob from the others.
func TestManyReadersOfOneBlobFetchItOnce(t *testing.T) {
	s := &source{n: 20, size: 100, keeps: true, hold: make(chan struct{}), began: make(chan struct{}, 99)}
	d := newCache(t, simdisk.New(), 1000, s)
	leaving, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := d.Open(leaving, 1, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("the one that leaves got %v", err)
		}
	})
	<-s.began
	for range 10 {
		all.Go(func() { mustRead(t, d, 1, 100) })
	}
	leave()
	close(s.hold)
	all.Wait()
	if n := s.fetches.Load(); n > 2 {
		t.Errorf("it was fetched %d times", n)
	}
}

// TestAnEvictedBlobIsNeverTakenForOneThatDoesNotExist guards what an answer means.
func TestAnEvictedBlobIsNeverTakenForOneThatDoesNotExist(t *testing.T) {
	missing := (*zodb.POSKeyError)(nil)
	away := (*blobcache.AwayError)(nil)
	full := &source{n: 5, size: 100, keeps: true}
	cache := &source{n: 0, size: 100}
	for name, c := range map[string]struct {
		sources []blobcache.Source
		gone    bool // else it is away
	}{
		"a source that keeps blobs has none":    {[]blobcache.Source{full}, true},
		"only a cache was asked":                {[]blobcache.Source{cache}, false},
		"a cache, and one that keeps":           {[]blobcache.Source{cache, full}, false},
		"nobody was asked":                      {nil, false},
		"one that keeps blobs, and one is away": {[]blobcache.Source{full, awaySource()}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newCache(t, simdisk.New(), 1000, c.sources...)
			_, err := read(d, 6)
			if errors.As(err, &missing) != c.gone || errors.As(err, &away) == c.gone {
				t.Errorf("the error is %v", err)
			}
			if _, err := d.Stat(6, 1); errors.As(err, &missing) != c.gone {
				t.Errorf("the error of Stat is %v", err)
			}
		})
	}
}

func awaySource() *source {
	s := &source{n: 20, size: 100, keeps: true}
	s.away.Store(true)
	return s
}

// TestACrashInAFetchOrAnEvictionLeavesNoWrongByte stops the disk before each operation of fetches and evictions.
func TestACrashInAFetchOrAnEvictionLeavesNoWrongByte(t *testing.T) {
	s := &source{n: 20, size: 3000, keeps: true}
	for n := 1; ; n++ {
		disk := simdisk.New()
		disk.PowerOffAt(n)
		err := fetchAndEvict(t, disk, s)
		for seed := range uint64(6) {
			d := newCache(t, disk.Crash(seed), 1<<20, s)
			for oid := zodb.Oid(1); oid <= 3; oid++ {
				mustRead(t, d, oid, 3000)
			}
		}
		if err == nil {
			return
		}
	}
}

func fetchAndEvict(t *testing.T, disk *simdisk.Disk, s *source) error {
	t.Helper()
	store, err := blobstore.Open("/blobs", blobstore.Options{FS: disk})
	if err != nil {
		return err
	}
	d := blobcache.New(t.Context(), blobcache.Options{Store: store, Target: 3500,
		Sources: func() []blobcache.Source { return []blobcache.Source{s} }})
	for oid := zodb.Oid(1); oid <= 3; oid++ {
		if _, err := read(d, oid); err != nil {
			return err
		}
		run(t, d)
	}
	return disk.SyncDir("/blobs") // else a power failure in an eviction would not show
}
