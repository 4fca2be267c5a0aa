package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

const viewData = "/cache/Data.fs"

// cacheDisk returns a disk with an empty folder for a view.
func cacheDisk(tb testing.TB) *simdisk.Disk {
	tb.Helper()
	disk := simdisk.New()
	if err := errors.Join(disk.Mkdir("/cache", 0o755), disk.SyncDir("/")); err != nil {
		tb.Fatal(err)
	}
	return disk
}

// viewOf opens the view of a moment, with room for a few segments.
func viewOf(ctx context.Context, a *Archive, tid zodb.Tid, disk vfs.FS) (*View, error) {
	m, err := a.Moment(ctx, tid, false)
	if err != nil {
		return nil, err
	}
	return viewWith(ctx, a, m.Generation, m.Size, 100<<10, ViewOptions{FS: disk, AtOnce: 3, again: time.Nanosecond})
}

// caches are those of views that are open, each with one of its own.
var caches sync.Map

// viewWith opens a view with a cache of its own, of so many bytes.
func viewWith(ctx context.Context, a *Archive, g *Generation, size, bytes int64, opt ViewOptions) (*View, error) {
	cache, err := OpenViewCache(opt.FS, filepath.Dir(viewData), bytes, nil)
	if err != nil {
		return nil, err
	}
	opt.Data, opt.Cache = viewData, cache
	v, err := a.OpenView(ctx, g, size, opt)
	if err != nil {
		return nil, errors.Join(err, cache.Close())
	}
	caches.Store(v, cache)
	return v, nil
}

// endView closes a view, and its cache.
func endView(v *View) error {
	err := v.Close()
	cache, _ := caches.LoadAndDelete(v)
	return errors.Join(err, cache.(*ViewCache).Close())
}

func mustView(tb testing.TB, a *Archive, tid zodb.Tid, disk vfs.FS) *View {
	tb.Helper()
	v, err := viewOf(tb.Context(), a, tid, disk)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func closeView(tb testing.TB, v *View) {
	tb.Helper()
	if err := endView(v); err != nil {
		tb.Error(err)
	}
}

// content reads the whole file of a view.
func (v *View) content() ([]byte, error) { return io.ReadAll(io.NewSectionReader(v, 0, v.Size())) }

// archivedSite returns an archive of a site with many small segments, and how the site was at each of some moments.
func archivedSite(t *testing.T, change ...func(*Options)) (*site, *objectstore.Store, *simdisk.Disk,
	map[zodb.Tid]look) {
	t.Helper()
	s, disk := newSite(t, 1), simdisk.New()
	t.Cleanup(s.close)
	store := newStore(t, disk)
	w := s.writer(store, append(change, smallSegments)...)
	looks := map[zodb.Tid]look{}
	for range 12 {
		for range 3 {
			s.commit(4, 2000, true)
		}
		looks[s.undoOrCommit()] = s.look()
		s.archive(w)
	}
	return s, store, disk, looks
}

func (s *site) undoOrCommit() zodb.Tid {
	if tid := s.undo(s.st.LastTid()); tid != 0 {
		return tid
	}
	return s.commit(2, 100, false)
}

// A moment is read from the archive as the file that was then, to the last byte, in any order, by several at a time,
// with room for a few segments; the storage on it opens, and has the same blobs.
func TestAViewIsTheFileOfItsMoment(t *testing.T) {
	_, store, _, looks := archivedSite(t)
	a := open(t, store, Keys{})
	for tid, want := range looks {
		disk := cacheDisk(t)
		restoredDisk, _, err := restored(t, a, tid, true)
		if err != nil {
			t.Fatal(err)
		}
		file := readFile(t, restoredDisk, "/copy/Data.fs")
		v := mustView(t, a, tid, disk)
		if got, err := v.content(); err != nil || !bytes.Equal(got, file) || v.Size() != want.size {
			t.Errorf("%v: the view has %d bytes, want %d (%v)", tid, len(got), want.size, err)
		}
		readsAnyOrder(t, v, file)
		st, err := filestorage.Open(t.Context(), viewData, filestorage.Options{FS: v.FS(), ReadOnly: true,
			MustExist: true})
		if err != nil {
			t.Fatal(err)
		}
		if st.LastTid() != tid {
			t.Errorf("the last transaction is %v, want %v", st.LastTid(), tid)
		}
		blobsAreThose(t, v, st, want.blobs)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		within(t, disk, 100<<10)
		closeView(t, v)
	}
}

// readsAnyOrder reads parts of a view at random, by several at a time.
func readsAnyOrder(t *testing.T, v *View, file []byte) {
	t.Helper()
	var readers sync.WaitGroup
	for seed := range uint64(4) {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 2))
			for range 200 {
				b := make([]byte, rng.IntN(40000))
				off := rng.IntN(len(file))
				n, err := v.ReadAt(b, int64(off))
				want := file[off:min(off+len(b), len(file))]
				if !bytes.Equal(b[:n], want) || (err != nil) != (len(want) < len(b)) {
					t.Errorf("%d bytes at %d: %d are right, %v", len(b), off, n, err)
				}
			}
		})
	}
	readers.Wait()
}

// blobsAreThose fetches each blob of a view into a blob directory.
func blobsAreThose(t *testing.T, v *View, st *filestorage.Storage, want map[string]string) {
	t.Helper()
	dir, err := blobstore.Open("/blobs", blobstore.Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	dir.KeepParts(true)
	source := &ViewBlobs{View: v, Locate: st.OffsetOf}
	for name, content := range want {
		var oid zodb.Oid
		var tid zodb.Tid
		first, second, _ := strings.Cut(name, " ")
		oid, err1 := zodb.ParseOid(first)
		tid, err2 := zodb.ParseTid(second)
		size, err3 := source.Size(t.Context(), oid, tid)
		if err := errors.Join(err1, err2, err3); err != nil || size != int64(len(content)) {
			t.Errorf("blob %s has %d bytes, want %d: %v", name, size, len(content), err)
			continue
		}
		part, err := dir.Part(oid, tid)
		if err != nil {
			t.Fatal(err)
		}
		_, err = source.Fetch(t.Context(), oid, tid, part)
		b := make([]byte, size)
		if _, failed := part.ReadAt(b, 0); err != nil || failed != nil || string(b) != content {
			t.Errorf("blob %s is another one: %v, %v", name, err, failed)
		}
		if err := part.Close(); err != nil {
			t.Error(err)
		}
	}
	var none *zodb.POSKeyError
	if _, err := source.Size(t.Context(), 0, st.LastTid()); !errors.As(err, &none) {
		t.Errorf("the blob of an object that has none: %v", err)
	}
}

// within checks how much there is of segments.
func within(t *testing.T, disk vfs.FS, limit int64) {
	t.Helper()
	entries, err := disk.ReadDir(viewData + segmentsSuffix)
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	if sum == 0 || sum > limit {
		t.Errorf("%d bytes of segments are kept, want some, and at most %d", sum, limit)
	}
}

// A countingStore counts what is read, and is away when it is told to be.
type countingStore struct {
	Store
	reads atomic.Int64
	away  atomic.Bool
}

func (s *countingStore) Read(ctx context.Context, key string, from, length int64) (io.ReadCloser, error) {
	s.reads.Add(1)
	if s.away.Load() {
		return nil, &objectstore.Error{Op: "read", Store: s.String(), Key: key, Err: objectstore.ErrAway}
	}
	return s.Store.Read(ctx, key, from, length)
}

// What is kept is used again by the next process: of a view that was read, nothing but the manifest and the last header
// is read when it is opened once more, also with an index.
func TestAViewIsKeptForTheNextStart(t *testing.T) {
	_, store, _, _ := archivedSite(t)
	counted := &countingStore{Store: store}
	a, disk := open(t, counted, Keys{}), cacheDisk(t)
	opens := func() (reads int64) {
		m, err := a.Moment(t.Context(), Latest, false)
		if err != nil {
			t.Fatal(err)
		}
		before := counted.reads.Load()
		v, err := viewWith(t.Context(), a, m.Generation, m.Size, 10<<20, ViewOptions{FS: disk})
		if err != nil {
			t.Fatal(err)
		}
		defer closeView(t, v)
		st, err := filestorage.Open(t.Context(), viewData, filestorage.Options{FS: v.FS(), ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(st.SaveIndexTo(disk, viewData+indexSuffix), st.Close()); err != nil {
			t.Fatal(err)
		}
		return counted.reads.Load() - before
	}
	first := opens()
	if second := opens(); first < 10 || second > 1 {
		t.Errorf("%d reads of the archive, and %d by the next start", first, second)
	}
}

// A cache folder is of one process, and what is in it of another file is not taken for the right one.
func TestACacheFolderIsOfOneProcessAndOneFile(t *testing.T) {
	_, store, _, _ := archivedSite(t)
	_, otherStore, _, _ := archivedSite(t)
	a, disk := open(t, store, Keys{}), cacheDisk(t)
	v := mustView(t, a, Latest, disk)
	if _, err := viewOf(t.Context(), a, Latest, disk); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("a second process: %v", err)
	}
	if _, err := v.content(); err != nil {
		t.Error(err)
	}
	closeView(t, v)
	b := open(t, otherStore, Keys{})
	w := mustView(t, b, Latest, disk)
	got, err := w.content()
	if err != nil {
		t.Fatal(err)
	}
	otherDisk, _, err := restored(t, b, Latest, false)
	if err != nil || !bytes.Equal(got, readFile(t, otherDisk, "/copy/Data.fs")) {
		t.Errorf("the view of another archive is not its file: %v", err)
	}
	closeView(t, w)
}

// The reads of a damaged segment fail, and say so; all others are right. What is damaged in the cache is fetched again.
func TestADamagedSegmentFailsItsReadsOnly(t *testing.T) {
	_, store, archived, _ := archivedSite(t)
	a, disk := open(t, store, Keys{}), cacheDisk(t)
	v := mustView(t, a, Latest, disk)
	defer closeView(t, v)
	file := mustContent(t, v)
	const bad = 4
	id := v.path.ID(bad)
	stored, err := store.Stat(t.Context(), id.name())
	if err != nil {
		t.Fatal(err)
	}
	back := flip(t, archived, "/archive/"+id.name(), stored.Size-1)
	v.kept.mu.Lock()
	for v.kept.order.Len() > 0 {
		v.kept.drop(v.kept.order.Back())
	}
	v.kept.mu.Unlock()
	for i := range uint64(len(v.table.ends)) {
		s := v.table.span(i)
		b := make([]byte, min(s.to, v.Size())-s.from)
		_, err := v.ReadAt(b, s.from)
		var format *FormatError
		switch {
		case i == bad && (!errors.As(err, &format) || !strings.Contains(err.Error(), "is damaged")):
			t.Errorf("a damaged segment: %v", err)
		case i != bad && (err != nil || !bytes.Equal(b, file[s.from:][:len(b)])):
			t.Errorf("segment %d: %v", i, err)
		}
	}
	back()
	if got := mustContent(t, v); !bytes.Equal(got, file) {
		t.Error("after the damage is mended the file is another one")
	}
}

func mustContent(t *testing.T, v *View) []byte {
	t.Helper()
	b, err := v.content()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is damaged on the local disk, by whatever, is found when it is used first, and fetched again.
func TestWhatIsDamagedInTheCacheIsFetchedAgain(t *testing.T) {
	_, store, _, _ := archivedSite(t)
	a, disk := open(t, store, Keys{}), cacheDisk(t)
	v := mustView(t, a, Latest, disk)
	file := mustContent(t, v)
	closeView(t, v)
	entries, err := disk.ReadDir(viewData + segmentsSuffix)
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	for i, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		at := []int64{0, HeaderLen - 1, HeaderLen, info.Size() - 1}[i%4]
		flip(t, disk, filepath.Join(viewData+segmentsSuffix, e.Name()), at)
	}
	v = mustView(t, a, Latest, disk)
	defer closeView(t, v)
	if !bytes.Equal(mustContent(t, v), file) {
		t.Error("damage of the cache was read")
	}
}

// An archive that is away is an error that says so, for what is not kept; what is kept is read; and then it goes on.
func TestAnArchiveThatIsAwayIsToldAndGoneOnWith(t *testing.T) {
	_, store, _, _ := archivedSite(t)
	counted := &countingStore{Store: store}
	a, disk := open(t, counted, Keys{}), cacheDisk(t)
	v := mustView(t, a, Latest, disk)
	defer closeView(t, v)
	file := mustContent(t, v)
	counted.away.Store(true)
	var failed, right int
	for i := range uint64(len(v.table.ends)) {
		var b [1]byte
		from := v.table.span(i).from
		_, err := v.ReadAt(b[:], from)
		switch {
		case err == nil && b[0] == file[from]:
			right++
		case errors.Is(err, objectstore.ErrAway) && strings.Contains(err.Error(), "cannot be read from the archive"):
			failed++
		default:
			t.Errorf("segment %d: %v", i, err)
		}
	}
	if why := v.Trouble(); failed == 0 || right == 0 || why == nil {
		t.Errorf("%d reads failed, %d did not, trouble: %v", failed, right, why)
	}
	if err := v.Look(t.Context()); err == nil {
		t.Error("it is said to be back")
	}
	counted.away.Store(false)
	if err := v.Look(t.Context()); err != nil {
		t.Error(err)
	}
	if why := v.Trouble(); why != nil {
		t.Error(why)
	}
	if !bytes.Equal(mustContent(t, v), file) {
		t.Error("it does not go on")
	}
}

// An archive that does not answer costs a reader a bounded time, and closing does not wait for it.
func TestAnArchiveThatHangsIsNotWaitedForForEver(t *testing.T) {
	_, store, _, _ := archivedSite(t)
	hanging := &hangingStore{Store: store}
	a := open(t, hanging, Keys{})
	m, err := a.Moment(t.Context(), Latest, false)
	if err != nil {
		t.Fatal(err)
	}
	v, err := viewWith(t.Context(), a, m.Generation, m.Size, 1<<20, ViewOptions{FS: cacheDisk(t),
		Wait: 50 * time.Millisecond, again: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	hanging.hangs.Store(true)
	if _, err := v.ReadAt(make([]byte, 10), 0); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("a read: %v", err)
	}
	closeView(t, v)
	if _, err := v.ReadAt(make([]byte, 10), 0); !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("after it was closed: %v", err)
	}
}

type hangingStore struct {
	Store
	hangs atomic.Bool
}

func (s *hangingStore) Read(ctx context.Context, key string, from, length int64) (io.ReadCloser, error) {
	if s.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Store.Read(ctx, key, from, length)
}

// A view without an end goes on as the archive does.
func TestAViewGrowsWithTheArchive(t *testing.T) {
	s, store, _, _ := archivedSite(t)
	a, disk := open(t, store, Keys{}), cacheDisk(t)
	g, _, settled, err := a.GenerationAt(t.Context(), Latest)
	if err != nil || settled {
		t.Fatal(settled, err)
	}
	v, err := viewWith(t.Context(), a, g, 0, 1<<20, ViewOptions{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer closeView(t, v)
	st, err := filestorage.Open(t.Context(), viewData, filestorage.Options{FS: v.FS(), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	w := s.writer(store, smallSegments)
	last := s.commit(5, 9000, true)
	s.archive(w)
	if err := errors.Join(v.Grow(t.Context()), st.Refresh(t.Context())); err != nil || st.LastTid() != last {
		t.Errorf("the last transaction is %v, want %v (%v)", st.LastTid(), last, err)
	}
	if s.pack(last - 1) {
		s.archive(w)
	}
	g, _, _, err = a.GenerationAt(t.Context(), Latest)
	if n, failed := a.Newest(t.Context()); err != nil || failed != nil || g.Generation != 2 || n != 2 {
		t.Errorf("after a pack the present is in generation %d of %d (%v)", g.Generation, n, err)
	}
	if _, at, settled, err := a.GenerationAt(t.Context(), last-1); err != nil || !settled || at != last-1 {
		t.Errorf("a moment of before: %v, %v, %v", at, settled, err)
	}
}

// An encrypted archive is read with its identity, and refused without.
func TestAViewOfAnEncryptedArchive(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	_, store, _, looks := archivedSite(t, func(o *Options) { o.Keys.Recipients = []age.Recipient{id.Recipient()} })
	a := open(t, store, Keys{Identities: []age.Identity{id}})
	for tid, want := range looks {
		v := mustView(t, a, tid, cacheDisk(t))
		st, err := filestorage.Open(t.Context(), viewData, filestorage.Options{FS: v.FS(), ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		blobsAreThose(t, v, st, want.blobs)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		closeView(t, v)
		break
	}
	g, _, _, err := open(t, store, Keys{}).GenerationAt(t.Context(), Latest)
	if err != nil {
		t.Fatal(err)
	}
	_, err = viewWith(t.Context(), open(t, store, Keys{}), g, 0, 1<<20, ViewOptions{FS: cacheDisk(t)})
	if !errors.Is(err, ErrNoIdentity) {
		t.Errorf("without an identity: %v", err)
	}
}

// The local disk of a view loses power, or the process is killed, at any operation: what is read before is right, and
// so is what the next process reads, with what is left of the cache.
func TestACacheWhoseDiskLosesPowerIsNeverRead(t *testing.T) {
	_, store, _, _ := archivedSite(t)
	a := open(t, store, Keys{})
	source, _, err := restored(t, a, Latest, false)
	if err != nil {
		t.Fatal(err)
	}
	file := readFile(t, source, "/copy/Data.fs")
	stops := map[string]func(*simdisk.Disk, int) func(seed uint64) *simdisk.Disk{
		"power": func(d *simdisk.Disk, n int) func(uint64) *simdisk.Disk {
			d.PowerOffAt(n)
			return d.Crash
		},
		"kill": func(d *simdisk.Disk, n int) func(uint64) *simdisk.Disk {
			d.KillAt(n)
			return func(uint64) *simdisk.Disk { d.Revive(); return d }
		},
	}
	for name, stop := range stops {
		for n, done := 3, false; !done; n++ {
			disk := cacheDisk(t)
			after := stop(disk, n)
			done = usesView(t, a, disk, file) && n > 40
			for seed := range uint64(3) {
				left := after(seed)
				if !usesView(t, a, left, file) {
					t.Fatalf("%s at %d, seed %d: the next process does not go on", name, n, seed)
				}
				if name == "kill" {
					break
				}
			}
		}
	}
}

// usesView opens a view, indexes it, and reads all of it. It reports whether its disk has worked all the time.
func usesView(t *testing.T, a *Archive, disk vfs.FS, file []byte) bool {
	t.Helper()
	v, err := viewOf(t.Context(), a, Latest, disk)
	if err != nil {
		return mustBeOfDisk(t, err)
	}
	st, err := filestorage.Open(t.Context(), viewData, filestorage.Options{FS: v.FS(), ReadOnly: true})
	if err == nil {
		err = errors.Join(st.SaveIndexTo(disk, viewData+indexSuffix), st.Close())
	}
	got, failed := v.content()
	if failed != nil || !bytes.Equal(got, file) {
		t.Fatalf("the file is another one: %v", failed)
	}
	if err = errors.Join(err, endView(v)); err != nil {
		return mustBeOfDisk(t, err)
	}
	return true
}

func mustBeOfDisk(t *testing.T, err error) bool {
	t.Helper()
	var path *fs.PathError
	if !errors.As(err, &path) {
		t.Fatalf("%v (%s)", err, fmt.Sprintf("%T", err))
	}
	return false
}
