package blobcache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A primary is a storage whose blobs go to a directory as the object store.
type primary struct {
	*blobcache.Uploader
	st    *filestorage.Storage
	dir   *blobstore.Store
	store string // the folder of the object store
	leads atomic.Bool
}

func newPrimary(t *testing.T, dir string, later bool) *primary {
	t.Helper()
	p := &primary{store: filepath.Join(dir, "store")}
	p.leads.Store(true)
	for _, folder := range []string{p.store} {
		if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	var err error
	if p.dir, err = blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{}); err != nil {
		t.Fatal(err)
	}
	objects, err := objectstore.Open(t.Context(), "file://"+p.store, objectstore.Options{Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "Data.fs")
	p.Uploader = blobcache.NewUploader(blobcache.UploadOptions{
		Objects: blobcache.Objects{Store: objects}, FS: vfs.OS{}, Data: data, Later: later, Open: p.dir.OpenBlob,
		Leads:   p.leads.Load,
		Records: func(after zodb.Tid) (zodb.Iterator, error) { return p.st.IterateRecords(after, false) },
		Last:    func() zodb.Tid { return p.st.LastTid() },
	})
	p.dir.Published = p.Published
	if p.st, err = filestorage.Open(t.Context(), data, filestorage.Options{Blobs: p.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.st.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// run uploads until stop.
func (p *primary) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

func (p *primary) commit(t *testing.T) zodb.Tid {
	t.Helper()
	shape := workload.Shape{Objects: 1, Blobs: 3, RecordSize: 10, BlobSize: 5000}
	_, err := workload.NewOwner(t.Context(), p.st, shape, 1)
	if err != nil {
		t.Fatal(err)
	}
	return p.st.LastTid()
}

// mustHave expects that the store has the three blobs, with the content of those here.
func (p *primary) mustHave(t *testing.T, tid zodb.Tid) {
	t.Helper()
	for oid := zodb.Oid(2); oid <= 4; oid++ {
		key := filepath.FromSlash(blobcache.Key(oid, tid))
		there, err := os.ReadFile(filepath.Join(p.store, key))
		if err != nil {
			t.Error(err)
			continue
		}
		f, err := p.dir.OpenBlob(oid, tid)
		if err != nil {
			t.Fatal(err)
		}
		here := make([]byte, len(there))
		if _, err := f.ReadAt(here, 0); len(here) > 0 && (err != nil || string(here) != string(there)) {
			t.Errorf("blob %v has other content there: %v", oid, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestACommitWaitsUntilItsBlobsAreInTheStore, also while that is away, and no commit waits with later.
func TestACommitWaitsUntilItsBlobsAreInTheStore(t *testing.T) {
	p := newPrimary(t, t.TempDir(), false)
	if err := p.Await(ended(), p.st.LastTid()); err != nil {
		t.Errorf("without blobs there is nothing to wait for: %v", err)
	}
	if err := os.Rename(p.store, p.store+".away"); err != nil {
		t.Fatal(err)
	}
	tid := p.commit(t)
	if err := p.Await(ended(), tid-1); err != nil {
		t.Errorf("an earlier transaction waits: %v", err)
	}
	if err := p.Await(ended(), tid); err == nil {
		t.Error("a commit does not wait for its blobs")
	}
	p.run(t)
	for p.Stats().Trouble == nil {
		pauseABit(t)
	}
	if err := p.Await(ended(), tid); err == nil {
		t.Error("a commit does not wait while the store is away")
	}
	if err := os.Rename(p.store+".away", p.store); err != nil {
		t.Fatal(err)
	}
	if err := p.Await(t.Context(), tid); err != nil {
		t.Fatal(err)
	}
	p.mustHave(t, tid)

	q := newPrimary(t, t.TempDir(), true)
	tid = q.commit(t)
	if err := q.Await(ended(), tid); err != nil {
		t.Errorf("with later a commit waits: %v", err)
	}
}

// TestWhatWasNotUploadedBeforeACrashIsFoundAfterwards: the uploads that were waiting are not written down.
func TestWhatWasNotUploadedBeforeACrashIsFoundAfterwards(t *testing.T) {
	dir := t.TempDir()
	p := newPrimary(t, dir, true)
	tid := p.commit(t)
	if err := p.st.Close(); err != nil {
		t.Fatal(err)
	}
	q := newPrimary(t, dir, true)
	q.run(t)
	for q.Stats().Uploaded != tid {
		pauseABit(t)
	}
	q.mustHave(t, tid)
}

// TestOnlyANodeThatLeadsUploads, and one that leads no more has nobody wait.
func TestOnlyANodeThatLeadsUploads(t *testing.T) {
	p := newPrimary(t, t.TempDir(), false)
	p.leads.Store(false)
	if err := p.Await(ended(), p.commit(t)); err != nil {
		t.Errorf("a secondary waits: %v", err)
	}
	q := newPrimary(t, t.TempDir(), false)
	tid := q.commit(t)
	q.leads.Store(false)
	if err := q.Await(ended(), tid); err != nil {
		t.Errorf("a node that was demoted waits: %v", err)
	}
}

// ended is a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// pauseABit lets others work; the test's own time limit ends a wait for what never comes.
func pauseABit(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(time.Millisecond):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// TestTheKeysAreThoseOfZodbS3blobs holds them against what that package makes of the same numbers.
func TestTheKeysAreThoseOfZodbS3blobs(t *testing.T) {
	for key, want := range map[string]struct {
		oid zodb.Oid
		tid zodb.Tid
	}{
		"blobs/2a/3f8658010000000.blob":                {0x2a, 0x03f8658010000000},
		"blobs/0/0.blob":                               {0, 0},
		"blobs/ffffffffffffffff/ffffffffffffffff.blob": {0xffffffffffffffff, 0xffffffffffffffff},
	} {
		if got := blobcache.Key(want.oid, want.tid); got != key {
			t.Errorf("oid %v tid %v has key %s, not %s", want.oid, want.tid, got, key)
		}
		oid, tid, ok := blobcache.ParseKey(key)
		if !ok || oid != want.oid || tid != want.tid {
			t.Errorf("key %s is oid %v tid %v, %v", key, oid, tid, ok)
		}
	}
	for _, key := range []string{"blobs/02a/1.blob", "blobs/2A/1.blob", "blobs/2a/1", "blobs/2a", "2a/1.blob",
		"blobs/+1/1.blob",
		"blobs/2a/1.blob/x", "blobs/10000000000000000/1.blob"} {
		if _, _, ok := blobcache.ParseKey(key); ok {
			t.Errorf("key %s counts as one of a blob", key)
		}
	}
}
