package blobcache_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/objectstore/objectstoretest"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const grace = 24 * time.Hour

// A packed storage has blobs of which a pack has removed some, and an object store that has all.
type packedStorage struct {
	disk            vfs.FS
	st              *filestorage.Storage
	dir             *blobstore.Store
	objects         blobcache.Objects
	needed, dropped []string // keys
	now             time.Time
	claim           blobcache.Claim
	leads           bool
	others          []blobcache.Asked
}

// newPacked makes one on an empty disk, or opens one there.
func newPacked(ctx context.Context, disk vfs.FS, url string) (p *packedStorage, err error) {
	p = &packedStorage{disk: disk, now: time.Now(), leads: true,
		claim: blobcache.Claim{Storage: "5b1f", Epoch: 3, Node: "n1"}}
	store, err := objectstore.Open(ctx, url, objectstore.Options{FS: disk, Attempts: 4, FirstWait: time.Millisecond,
		LongestWait: time.Millisecond})
	if err != nil {
		return nil, err
	}
	p.objects.Store = store
	if p.dir, err = blobstore.Open("/db/blobs", blobstore.Options{FS: disk}); err != nil {
		return nil, err
	}
	p.st, err = filestorage.Open(ctx, "/db/Data.fs", filestorage.Options{FS: disk, Blobs: p.dir})
	return p, err
}

func folders(disk vfs.FS) error {
	var all []error
	for _, folder := range []string{"/db", "/store"} {
		if err := disk.Mkdir(folder, 0o700); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(append(all, disk.SyncDir("/"))...)
}

// fill commits revisions of blobs, and puts all into the store.
func (p *packedStorage) fill(ctx context.Context) error {
	owner, err := workload.NewOwner(ctx, p.st, workload.Shape{Objects: 2, Blobs: 2, RecordSize: 10, BlobSize: 50}, 1)
	for range 20 {
		if err == nil {
			_, err = owner.Commit(ctx)
		}
	}
	if err != nil {
		return err
	}
	return p.dir.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, _ string) error {
		return p.put(ctx, oid, tid)
	})
}

func (p *packedStorage) put(ctx context.Context, oid zodb.Oid, tid zodb.Tid) error {
	f, err := p.dir.OpenBlob(oid, tid)
	if err != nil {
		return err
	}
	_, err = p.objects.Put(ctx, oid, tid, f)
	return errors.Join(err, f.Close())
}

// pack removes all but the last revisions.
func (p *packedStorage) pack(ctx context.Context, keepOld bool) error {
	all, err := p.keysHere()
	if err != nil {
		return err
	}
	if _, err := p.st.Pack(ctx, p.st.LastTid(), filestorage.PackOptions{KeepOld: keepOld}); err != nil {
		return err
	}
	if p.needed, err = p.keysHere(); err != nil {
		return err
	}
	p.dropped = nil
	for _, key := range all {
		if !slices.Contains(p.needed, key) {
			p.dropped = append(p.dropped, key)
		}
	}
	return nil
}

func (p *packedStorage) keysHere() (keys []string, err error) {
	err = p.dir.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, _ string) error {
		keys = append(keys, blobcache.Key(oid, tid))
		return nil
	})
	slices.Sort(keys)
	return keys, err
}

func (p *packedStorage) keysThere(ctx context.Context) (keys []string, err error) {
	err = p.objects.Blobs(ctx, func(oid zodb.Oid, tid zodb.Tid) { keys = append(keys, blobcache.Key(oid, tid)) })
	slices.Sort(keys)
	return keys, err
}

func (p *packedStorage) cleaner() *blobcache.Cleaner {
	return blobcache.NewCleaner(blobcache.CleanOptions{
		Objects: p.objects, FS: p.disk, Data: "/db/Data.fs", Grace: grace, Leads: func() bool { return p.leads },
		Claim: func() (blobcache.Claim, bool) { return p.claim, p.leads }, Has: p.st.HasRevision,
		Others: func() []blobcache.Asked { return p.others }, NextPack: p.st.NextPack,
		Now: func() time.Time { return p.now }, Rate: 1e6,
	})
}

// look is that of a node that was just started.
func (p *packedStorage) look(ctx context.Context) error {
	_, err := p.cleaner().Look(ctx)
	return err
}

// mustHave expects that the store has these objects and no others.
func (p *packedStorage) mustHave(t *testing.T, when string, lists ...[]string) {
	t.Helper()
	want := slices.Sorted(slices.Values(slices.Concat(lists...)))
	if got, err := p.keysThere(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: %v: the store has\n%q, and should have\n%q", when, err, got, want)
	}
}

func filled(t *testing.T, keepOld bool) *packedStorage {
	t.Helper()
	disk := simdisk.New()
	p, err := open(t.Context(), disk)
	if err == nil {
		err = p.fill(t.Context())
	}
	if err == nil {
		err = p.pack(t.Context(), keepOld)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.st.Close(); err != nil {
			t.Error(err)
		}
	})
	if len(p.dropped) < 2 || len(p.needed) != 2 {
		t.Fatalf("the pack left %q and dropped %q", p.needed, p.dropped)
	}
	return p
}

func open(ctx context.Context, disk vfs.FS) (*packedStorage, error) {
	if err := folders(disk); err != nil {
		return nil, err
	}
	return newPacked(ctx, disk, "file:///store")
}

// TestUnneededObjectsGoAfterTheGraceTime looks as a node does that is restarted between all looks.
func TestUnneededObjectsGoAfterTheGraceTime(t *testing.T) {
	p := filled(t, false)
	for _, step := range []struct {
		when  string
		later time.Duration
		want  []string
	}{
		{"at first", 0, p.dropped}, {"before the time", grace - time.Second, p.dropped},
		{"after it", 2 * time.Second, nil}, {"once more", grace, nil},
	} {
		p.now = p.now.Add(step.later)
		if err := p.look(t.Context()); err != nil {
			t.Errorf("%s: %v", step.when, err)
		}
		p.mustHave(t, step.when, p.needed, step.want)
	}
}

// TestWhatACleanerCountsAndWhenItLooksAgain is about one Cleaner that goes on.
func TestWhatACleanerCountsAndWhenItLooksAgain(t *testing.T) {
	p := filled(t, false)
	c := p.cleaner()
	next, err := c.Look(t.Context())
	if s := c.Stats(); err != nil || next != grace || s.Unneeded != int64(len(p.dropped)) || s.UnneededBytes <= 0 ||
		s.Removed != 0 {
		t.Errorf("after the first look: %v, next in %v, %+v", err, next, s)
	}
	bytes := c.Stats().UnneededBytes
	p.now = p.now.Add(grace)
	_, err = c.Look(t.Context())
	if s := c.Stats(); err != nil || s.Unneeded != 0 || s.UnneededBytes != 0 || s.Removed != int64(len(p.dropped)) ||
		s.RemovedBytes != bytes {
		t.Errorf("after the second look: %v, %+v", err, s)
	}
}

func answers(there ...int) blobcache.Asked {
	return blobcache.Asked{Name: "db2:5000", Ask: func(context.Context, *protocol.RecordQuery) (
		*protocol.RecordAnswer, error) {
		return &protocol.RecordAnswer{There: there}, nil
	}}
}

func away() blobcache.Asked {
	return blobcache.Asked{Name: "db3:5000", Ask: func(context.Context, *protocol.RecordQuery) (
		*protocol.RecordAnswer, error) {
		return nil, errors.New("no route to host")
	}}
}

// TestWhatMayBeNeededStays makes one thing different after the first look. Nothing is removed then that it is about.
func TestWhatMayBeNeededStays(t *testing.T) {
	mark := func(t *testing.T, p *packedStorage, key, node string) {
		t.Helper()
		if _, err := p.objects.Store.Put(t.Context(), key, strings.NewReader(node+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	for name, one := range map[string]struct {
		change func(t *testing.T, p *packedStorage)
		says   string // of the error; empty: none
		kept   int    // of the dropped objects; -1: all
	}{
		"another node has two of them": {func(_ *testing.T, p *packedStorage) {
			p.others = []blobcache.Asked{answers(), answers(0, 1)}
		}, "", 2},
		"another node cannot be asked": {func(_ *testing.T, p *packedStorage) {
			p.others = []blobcache.Asked{answers(), away()}
		}, "db3:5000", -1},
		"the node does not lead": {func(_ *testing.T, p *packedStorage) { p.leads = false }, "does not lead", -1},
		"another node leads in a later epoch": {func(t *testing.T, p *packedStorage) {
			t.Helper()
			mark(t, p, "zrsd-epochs/5b1f/0000000000000004", "n2")
		}, "later epoch", -1},
		"another node has this epoch": {func(t *testing.T, p *packedStorage) {
			t.Helper()
			p.claim.Epoch = 5
			mark(t, p, "zrsd-epochs/5b1f/0000000000000005", "n2")
		}, "another node", -1},
		"another storage is there": {func(t *testing.T, p *packedStorage) {
			t.Helper()
			mark(t, p, "zrsd-epochs/aaaa/0000000000000001", "n2")
		}, "another storage", -1},
		"the clock is behind": {func(_ *testing.T, p *packedStorage) {
			p.now = p.now.AddDate(-10, 0, 0)
		}, "clock", -1},
	} {
		t.Run(name, func(t *testing.T) {
			p := filled(t, false)
			if err := p.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.now = p.now.Add(grace)
			one.change(t, p)
			err := p.look(t.Context())
			said := ""
			if err != nil {
				said = err.Error()
			}
			if one.says == "" && err != nil || !strings.Contains(said, one.says) {
				t.Errorf("got %v", err)
			}
			kept := p.dropped
			if one.kept >= 0 {
				kept = kept[:one.kept]
			}
			p.mustHave(t, "meanwhile", p.needed, kept)
		})
	}
}

// TestWhatTheOldFileHasStays keeps the file of before the pack, and removes it.
func TestWhatTheOldFileHasStays(t *testing.T) {
	p := filled(t, true)
	look := func() {
		t.Helper()
		p.now = p.now.Add(grace)
		if err := p.look(t.Context()); err != nil {
			t.Error(err)
		}
	}
	look()
	look()
	p.mustHave(t, "with the old file", p.needed, p.dropped)
	if err := p.disk.Remove("/db/Data.fs.old"); err != nil {
		t.Fatal(err)
	}
	look()
	p.mustHave(t, "just without it", p.needed, p.dropped)
	look()
	p.mustHave(t, "after the grace time", p.needed)
}

// note writes a line into the notes.
func (p *packedStorage) note(t *testing.T, key string, since time.Time) {
	t.Helper()
	path := "/db/Data.fs.blobstore-unneeded.zrsd"
	text, err := vfs.ReadFile(p.disk, path, 1<<20)
	if err != nil {
		text = nil
	}
	text = append(text, key+" "+since.UTC().Format(time.RFC3339)+"\n"...)
	err = vfs.WriteFileAtomic(p.disk, path, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(text, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAStoreOfWhichNothingIsNeededIsNotOurs: another database, or an empty file in place of this one.
func TestAStoreOfWhichNothingIsNeededIsNotOurs(t *testing.T) {
	p := filled(t, false)
	for _, key := range p.needed {
		if err := p.objects.Store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := p.look(t.Context()); err == nil || !strings.Contains(err.Error(), "needs none") {
			t.Errorf("got %v", err)
		}
		p.now = p.now.Add(2 * grace)
	}
	p.mustHave(t, "after all", p.dropped)
}

// TestWhatHasARecordJustBeforeItIsRemovedStays: the open storage is asked once more for each object.
func TestWhatHasARecordJustBeforeItIsRemovedStays(t *testing.T) {
	p := filled(t, false)
	c := blobcache.NewCleaner(blobcache.CleanOptions{
		Objects: p.objects, FS: p.disk, Data: "/db/Data.fs", Grace: grace, Leads: func() bool { return true },
		Claim:  func() (blobcache.Claim, bool) { return p.claim, true },
		Has:    func(zodb.Oid, zodb.Tid) (bool, error) { return true, nil },
		Others: func() []blobcache.Asked { return nil }, Now: func() time.Time { return p.now }, Rate: 1e6,
	})
	for range 3 {
		if _, err := c.Look(t.Context()); err != nil {
			t.Error(err)
		}
		p.now = p.now.Add(grace)
	}
	p.mustHave(t, "after all", p.needed, p.dropped)
}

// TestWhatIsLaterThanTheFileStays: it may have been committed since the file was read.
func TestWhatIsLaterThanTheFileStays(t *testing.T) {
	p := filled(t, false)
	later := blobcache.Key(3, p.st.LastTid()+1)
	if _, err := p.objects.Store.Put(t.Context(), later, bytes.NewReader(nil)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := p.look(t.Context()); err != nil {
			t.Error(err)
		}
		p.now = p.now.Add(grace)
	}
	p.mustHave(t, "after all", p.needed, []string{later})
}

// TestACrashWhileObjectsAreRemovedIsHarmless stops the disk, which the object store is on as well, before each
// operation from the pack on. What is needed is there, and what is not goes in the end.
func TestACrashWhileObjectsAreRemovedIsHarmless(t *testing.T) {
	steps := func(ctx context.Context, p *packedStorage) error {
		if err := p.pack(ctx, false); err != nil {
			return err
		}
		for range 2 {
			if err := p.look(ctx); err != nil {
				return err
			}
			p.now = p.now.Add(grace)
		}
		return nil
	}
	before := simdisk.New()
	p, err := open(t.Context(), before)
	if err == nil {
		err = errors.Join(p.fill(t.Context()), p.st.Close(), before.SyncDir("/db"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		disk := before.Crash(0) // a copy: all is synced
		p, err := newPacked(t.Context(), disk, "file:///store")
		if err != nil {
			t.Fatal(err)
		}
		disk.PowerOffAt(len(disk.Ops()) + n)
		err = steps(t.Context(), p)
		if err != nil && !errors.Is(err, simdisk.ErrPowerLoss) {
			t.Fatal(err)
		}
		_ = p.st.Close()
		for seed := range uint64(3) {
			after, err := newPacked(t.Context(), disk.Crash(seed), "file:///store")
			if err != nil {
				t.Fatal(err)
			}
			needed, err := after.keysHere()
			there, err2 := after.keysThere(t.Context())
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			for _, key := range needed {
				if !slices.Contains(there, key) {
					t.Errorf("after operation %d: %s is needed, and is not there", n, key)
				}
			}
			if err := steps(t.Context(), after); err != nil {
				t.Error(err)
			}
			after.mustHave(t, "in the end", after.needed)
			if len(after.needed) != 2 {
				t.Errorf("after operation %d: %d blobs are needed", n, len(after.needed))
			}
			if err := after.st.Close(); err != nil {
				t.Error(err)
			}
		}
		if err == nil {
			return
		}
	}
}

// TestACleanerStandsTheFaultsOfAStore is against a real S3 server.
func TestACleanerStandsTheFaultsOfAStore(t *testing.T) {
	server := objectstoretest.Start(t)
	proxy := server.Proxy(t)
	disk := simdisk.New()
	if err := folders(disk); err != nil {
		t.Fatal(err)
	}
	p, err := newPacked(t.Context(), disk, server.URL(proxy.Address, "app"))
	if err == nil {
		err = errors.Join(p.fill(t.Context()), p.pack(t.Context(), false), p.look(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer p.st.Close()
	for _, key := range p.dropped { // the notes are of another store: objects are no older here than they are
		p.note(t, key, p.now.Add(-10*grace))
	}
	p.now = p.now.Add(grace - time.Minute)
	if err := p.look(t.Context()); err != nil {
		t.Error(err)
	}
	p.mustHave(t, "before the grace time after they came", p.needed, p.dropped)
	p.now = p.now.Add(grace)
	always := func(f objectstoretest.Fault, method string) func(*http.Request) objectstoretest.Fault {
		return func(r *http.Request) objectstoretest.Fault {
			if r.Method == method {
				return f
			}
			return objectstoretest.Fault{}
		}
	}
	busy := objectstoretest.Fault{Status: http.StatusServiceUnavailable}
	forbidden := objectstoretest.Fault{Status: http.StatusForbidden}
	for name, fault := range map[string]func(*http.Request) objectstoretest.Fault{
		"the list is busy":        always(busy, http.MethodGet),
		"deletes are busy":        always(busy, http.MethodDelete),
		"deletes are not allowed": always(forbidden, http.MethodDelete),
		"claims are not allowed":  always(forbidden, http.MethodPut),
	} {
		proxy.Make(fault)
		if err := p.look(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		proxy.Make(nil)
		p.mustHave(t, name, p.needed, p.dropped)
	}
	proxy.Make(always(objectstoretest.Fault{Lost: true}, http.MethodDelete)) // done, and not answered
	_ = p.look(t.Context())                                                  // it may be tried again and say so
	proxy.Make(nil)
	if err := p.look(t.Context()); err != nil {
		t.Error(err)
	}
	p.mustHave(t, "when the store works again", p.needed)
}

// TestARunningCleanerLooksAfterPacksWhileItsNodeLeads has a grace time of no length.
func TestARunningCleanerLooksAfterPacksWhileItsNodeLeads(t *testing.T) {
	p, err := open(t.Context(), simdisk.New())
	if err == nil {
		err = p.fill(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer p.st.Close()
	var leads atomic.Bool
	c := blobcache.NewCleaner(blobcache.CleanOptions{
		Objects: p.objects, FS: p.disk, Data: "/db/Data.fs", Grace: 1, Leads: leads.Load,
		Claim: func() (blobcache.Claim, bool) { return p.claim, leads.Load() }, Has: p.st.HasRevision,
		Others: func() []blobcache.Asked { return nil }, NextPack: p.st.NextPack, Now: time.Now,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	defer running.Wait()
	defer cancel()
	await := func(what string, is func(blobcache.CleanStats) bool) {
		t.Helper()
		for !is(c.Stats()) {
			if t.Context().Err() != nil {
				t.Fatal(what)
			}
			pauseABit(t)
		}
	}
	if s := c.Stats(); !s.Looked.IsZero() {
		t.Error("it looks though its node does not lead")
	}
	leads.Store(true)
	await("a look when it leads", func(s blobcache.CleanStats) bool { return !s.Looked.IsZero() })
	if err := p.pack(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	await("removal after the pack", func(s blobcache.CleanStats) bool { return s.Removed == int64(len(p.dropped)) })
	p.mustHave(t, "after that", p.needed)
}

// TestAnEpochIsClaimedBeforeItsBlobsAreUploaded has the uploads of a node fail for as long as its claim does.
func TestAnEpochIsClaimedBeforeItsBlobsAreUploaded(t *testing.T) {
	p := filled(t, false)
	claims := func() map[string]bool {
		keys := map[string]bool{}
		for o, err := range p.objects.Store.List(t.Context(), blobcache.ClaimPrefix) {
			if err != nil {
				t.Fatal(err)
			}
			keys[o.Key] = true
		}
		return keys
	}
	var leads atomic.Bool
	u := blobcache.NewUploader(blobcache.UploadOptions{
		Objects: p.objects, FS: p.disk, Data: "/db/Data.fs", Open: p.dir.OpenBlob, Leads: leads.Load,
		Claim:   func() (blobcache.Claim, bool) { return p.claim, leads.Load() },
		Records: func(after zodb.Tid) (zodb.Iterator, error) { return p.st.IterateRecords(after, false) },
		Last:    p.st.LastTid,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { u.Run(ctx) })
	defer running.Wait()
	defer cancel()
	if len(claims()) != 0 {
		t.Error("a node that does not lead claims")
	}
	leads.Store(true)
	oid, tid, _ := blobcache.ParseKey(p.needed[0])
	u.Published(oid, tid, 0)
	if err := u.Await(t.Context(), tid); err != nil {
		t.Fatal(err)
	}
	if got := claims(); !maps.Equal(got, map[string]bool{"zrsd-epochs/5b1f/0000000000000003": true}) {
		t.Errorf("claims: %v", got)
	}
}
