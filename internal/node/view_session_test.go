package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// An archivedSite is a storage in a folder that is archived into another one.
type archivedSite struct {
	t     *testing.T
	url   string
	st    *filestorage.Storage
	chain *hashchain.Local
	saved *archive.Saved
}

func newArchivedSite(t *testing.T) *archivedSite {
	t.Helper()
	st, err := filestorage.Open(t.Context(), filepath.Join(t.TempDir(), "Data.fs"), filestorage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	chain := hashchain.Keep(st, hashchain.Options{})
	t.Cleanup(func() {
		chain.Close()
		st.Close()
	})
	return &archivedSite{t: t, url: "file://" + t.TempDir(), st: st, chain: chain}
}

// archive archives all that there is.
func (s *archivedSite) archive() {
	s.t.Helper()
	objects, err := objectstore.Open(s.t.Context(), s.url, objectstore.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	const id = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
	for s.chain.Status().Behind > 0 || !s.chain.Status().Known {
		runtime.Gosched() // it follows by itself
	}
	source := &archive.Local{Storage: s.st, Chain: s.chain, Who: func() (archive.Node, error) {
		epochs := []protocol.Epoch{{Number: 1, Node: id}}
		return archive.Node{Storage: id, ID: id, Name: "a", Primary: true, Epochs: epochs}, nil
	}}
	err = archive.NewWriter(source, archive.Options{Store: objects, Saved: s.saved, Save: func(v *archive.Saved) error {
		s.saved = v
		return nil
	}}).Once(s.t.Context())
	if err = errors.Join(err, objects.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// storeAt commits a transaction of a certain time.
func (s *archivedSite) storeAt(at time.Time, text string) zodb.Tid {
	s.t.Helper()
	tid, err := zodb.TidFromTime(at)
	if err != nil {
		s.t.Fatal(err)
	}
	txn, err := s.st.Begin(s.t.Context(), &zodb.TxnMeta{Tid: tid})
	if err != nil {
		s.t.Fatal(err)
	}
	serial, _ := s.st.GetTid(0)
	if err := txn.Store(0, serial, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := txn.Finish(s.t.Context(), nil); err != nil {
		s.t.Fatal(err)
	}
	return tid
}

// sees fails unless clients of a storage see this transaction as the last one, and are told the object's state.
func sees(t *testing.T, front *counter, name string, tid zodb.Tid, text string) {
	t.Helper()
	m := front.moment(name)
	if m == nil || m.Tid != tid {
		t.Fatalf("%s is as of %+v, want %v", name, m, tid)
	}
	front.mu.Lock()
	st := front.offers[name]
	front.mu.Unlock()
	rev, err := st.LoadBefore(0, tid+1)
	if err != nil || string(rev.Data) != text {
		t.Errorf("%s: %+v was read, want %q (%v)", name, rev, text, err)
	}
}

// Moments share a data file of the archive. One that moves on past a pack goes on in another file, which is opened
// while it is served from the old one; the clients of others notice nothing, and a file that no moment needs any more
// is forgotten.
func TestMomentsOfAnArchiveMoveOnBetweenItsFiles(t *testing.T) {
	site := newArchivedSite(t)
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	monday := site.storeAt(day.Add(time.Hour), "monday")
	site.storeAt(day.Add(2*time.Hour), "monday, late")
	tuesday := site.storeAt(day.Add(25*time.Hour), "tuesday")
	site.archive()

	front := newCounter()
	c := &StandaloneConfig{ReadOnly: true, OnlyMoments: true, From: FromArchive{URL: site.url}}
	c.Data = filepath.Join(t.TempDir(), "cache", "Data.fs")
	for name, text := range map[string]string{
		"fixed": monday.String(), "sliding": "1h ago", "day": "each day at 00:00",
	} {
		at, err := moment.Parse(text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		c.Moments = append(c.Moments, MomentConfig{Name: name, At: at})
	}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	c.front = front
	a, end, err := c.openArchive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	s := newViewSession(c, newNodeStatus(roleStandalone, &c.Config), a)
	if s.cache, err = archive.OpenViewCache(c.FS, filepath.Dir(c.Data), c.From.Size, nil); err != nil {
		t.Fatal(err)
	}
	var now atomic.Pointer[time.Time]
	is := func(after time.Duration) {
		at := day.Add(after + time.Minute)
		now.Store(&at)
	}
	is(26 * time.Hour) // tuesday
	for _, m := range s.moments {
		m.view.now = func() time.Time { return *now.Load() }
	}
	step := func(offers int) {
		t.Helper()
		s.open(t.Context())
		s.opening.Wait()
		if err := s.serve(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range offers {
			<-front.changed
		}
	}
	if err := s.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	step(3)
	sees(t, front, "fixed", monday, "monday")
	sees(t, front, "sliding", tuesday, "tuesday")
	if len(s.files) != 1 {
		t.Errorf("%d files are open for moments of one generation", len(s.files))
	}

	wednesday := site.storeAt(day.Add(49*time.Hour), "wednesday")
	if r, err := site.st.Pack(t.Context(), tuesday, filestorage.PackOptions{}); err != nil || !r.Packed {
		t.Fatal(r, err)
	}
	site.archive()
	is(51 * time.Hour) // wednesday: the day began before the pack, an hour ago is after it
	if err := errors.Join(s.grow(t.Context()), s.place(t.Context())); err != nil {
		t.Fatal(err)
	}
	front.mu.Lock()
	front.serving = true
	front.mu.Unlock()
	step(2) // the fixed one stays
	sees(t, front, "fixed", monday, "monday")
	sees(t, front, "sliding", wednesday, "wednesday")
	sees(t, front, "day", tuesday, "tuesday")
	if len(s.files) != 2 || len(front.early) != 2 {
		t.Errorf("%d files are open; %q were taken from clients", len(s.files), front.early)
	}

	s.leave(s.moment("fixed"))
	s.moments = without(s.moments, "fixed")
	step(0)
	entries, err := os.ReadDir(filepath.Dir(c.Data))
	if err != nil || len(s.files) != 1 {
		t.Errorf("%d files are open (%v)", len(s.files), err)
	}
	for _, e := range entries {
		if e.Name() == generationFolder+"00000001" {
			t.Error("the index of a file stays that no moment needs")
		}
	}
	if err := errors.Join(s.close(), s.cache.Close()); err != nil {
		t.Error(err)
	}
}

func (s *viewSession) moment(name string) *archivedMoment {
	for _, m := range s.moments {
		if m.view.cfg.Name == name {
			return m
		}
	}
	return nil
}

func without(list []*archivedMoment, name string) (left []*archivedMoment) {
	for _, m := range list {
		if m.view.cfg.Name != name {
			left = append(left, m)
		}
	}
	return left
}

// An archive that cannot be opened does not end a process that has other storages, and ends one that has none.
func TestAnArchiveThatIsAwayEndsNoOtherStorage(t *testing.T) {
	for _, patient := range []bool{true, false} {
		at, err := moment.Parse("1h ago", time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		c := &StandaloneConfig{ReadOnly: true, OnlyMoments: true,
			From: FromArchive{URL: "file://" + filepath.Join(t.TempDir(), "away"), Patient: patient}}
		c.Data, c.Moments = filepath.Join(t.TempDir(), "Data.fs"), []MomentConfig{{Name: "old", At: at}}
		if err := c.check(); err != nil {
			t.Fatal(err)
		}
		c.front = newCounter()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		f := newNodeStatus(roleStandalone, &c.Config)
		go func() { ended <- c.session(ctx, f) }()
		if !patient {
			var start *StartError
			if err := <-ended; !errors.As(err, &start) {
				t.Errorf("it ended with %v", err)
			}
			cancel()
			continue
		}
		again := func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return strings.Contains(f.phase, "is tried again")
		}
		for !again() {
			select {
			case err := <-ended:
				t.Fatalf("it ended with %v", err)
			case <-time.After(time.Millisecond):
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("that it is stopped meanwhile is a failure: %v", err)
		}
	}
}

// A blob of a data file that no moment needs any more is not kept for ever: somebody has to say that it may go.
func TestABlobThatNoMomentNeedsMayGo(t *testing.T) {
	own, err := blobstore.Open(filepath.Join(t.TempDir(), "blobs"), blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	staged, err := own.Stage(1, 2, strings.NewReader("abc"))
	if err == nil {
		err = errors.Join(staged.Sync(), staged.Publish(), staged.SyncDir())
	}
	if err != nil {
		t.Fatal(err)
	}
	source := archivedBlobs{&viewSession{blobs: blobDir{own: own}, files: map[uint64]*archivedFile{}}}
	if size, err := source.Size(t.Context(), 1, 2); err != nil || size != 3 || !source.Keeps() {
		t.Errorf("nobody says so: %d, %v", size, err)
	}
	var none *zodb.POSKeyError
	if _, err := source.Size(t.Context(), 1, 3); !errors.As(err, &none) {
		t.Errorf("one that is nowhere: %v", err)
	}
}
