package secondary

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// putToken is how the owner of a blob directory proves it, nil for a site that is none.
func (s *site) putToken() func() (protocol.Token, func() error, error) {
	if s.own == nil {
		return nil
	}
	return func() (protocol.Token, func() error, error) {
		token, err := s.own.PutToken()
		if err != nil {
			return protocol.Token{}, nil, err
		}
		return protocol.Token{Name: token.Name, Digest: token.Digest}, token.Remove, nil
	}
}

const (
	sharedDir = "db/blobs" // of every site in memory
	bare      = "bare"     // what is seen in its place when nothing is mounted there
)

// A mount is how another machine sees a disk: it complains about everything but reading.
type mount struct {
	vfs.FS
	t       *testing.T
	gone    atomic.Bool  // the shared directory is not mounted
	unaware atomic.Int64 // of so many looks for a blob or a token, since they came to be
}

func mounted(t *testing.T, disk vfs.FS) *mount {
	t.Helper()
	if err := disk.Mkdir(bare, 0o777); err != nil {
		t.Fatal(err)
	}
	return &mount{FS: disk, t: t}
}

// at returns what is found under a path.
func (m *mount) at(path string) (string, error) {
	if (strings.HasSuffix(path, ".blob") || strings.Contains(path, "share-")) && m.unaware.Add(-1) >= 0 {
		return "", fs.ErrNotExist
	}
	if rest, ok := strings.CutPrefix(path, sharedDir); ok && m.gone.Load() {
		return bare + rest, nil
	}
	return path, nil
}

func (m *mount) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE|os.O_TRUNC) != 0 {
		m.t.Errorf("%s was opened for writing", path)
	}
	path, err := m.at(path)
	if err != nil {
		return nil, err
	}
	return m.FS.OpenFile(path, flag, perm)
}

func (m *mount) Stat(path string) (fs.FileInfo, error) {
	path, err := m.at(path)
	if err != nil {
		return nil, err
	}
	return m.FS.Stat(path)
}

func (m *mount) ReadDir(path string) ([]fs.DirEntry, error) {
	path, err := m.at(path)
	if err != nil {
		return nil, err
	}
	return m.FS.ReadDir(path)
}

func (m *mount) refuse(what string) error {
	m.t.Errorf("a shared directory was changed: %s", what)
	return fs.ErrPermission
}

func (m *mount) Mkdir(path string, _ fs.FileMode) error { return m.refuse("mkdir " + path) }
func (m *mount) Rename(path, _ string) error            { return m.refuse("rename " + path) }
func (m *mount) Link(path, _ string) error              { return m.refuse("link " + path) }
func (m *mount) Remove(path string) error               { return m.refuse("remove " + path) }
func (m *mount) Chmod(path string, _ fs.FileMode) error { return m.refuse("chmod " + path) }
func (m *mount) SyncDir(path string) error              { return m.refuse("sync " + path) }
func (m *mount) Lock(path, _ string) (io.Closer, error) { return nil, m.refuse("lock " + path) }

// beside opens a storage on disk that shares the blob directory at dir, as m shows it.
func beside(t *testing.T, m *mount, dir string, disk vfs.FS) *site {
	t.Helper()
	blobs, err := blobstore.OpenShared(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{fs: disk, dir: "db", share: blobs}
	if err := s.makeFolder(); err != nil {
		t.Fatal(err)
	}
	if err := s.openWith(blobs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.st.Close() }) // on a disk that has lost power it fails
	return s
}

func hasty(o *Options) { o.BlobPatience = 20 * time.Millisecond }

// mustShare checks that s has the Data.fs of p, and all its blobs by way of the shared directory.
func mustShare(t *testing.T, p, s *site) {
	t.Helper()
	if a, b := p.committed(t), s.committed(t); string(a) != string(b) {
		t.Errorf("Data.fs differs at %d", firstDifference(a, b))
	}
	err := p.own.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, _ string) error {
		f, err := s.st.OpenBlob(oid, tid)
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhoSharesTheBlobDirectoryHasTheSameWithoutWritingIntoIt(t *testing.T) {
	p := inMemory(t).named(t).history(t, 10)
	s := beside(t, mounted(t, p.fs), sharedDir, simdisk.New())
	r := s.follow(t, p.asPrimary(t))
	r.has(t, p.st.LastTid())
	for range 3 {
		r.has(t, p.commit(t, 1, "live", "live blob"))
	}
	mustShare(t, p, s)
}

func TestAFileSystemThatShowsNewFilesLateIsWaitedFor(t *testing.T) {
	p := inMemory(t).named(t).history(t, 3)
	m := mounted(t, p.fs)
	s := beside(t, m, sharedDir, simdisk.New())
	m.unaware.Store(3)
	r := s.follow(t, p.asPrimary(t))
	r.has(t, p.st.LastTid())
	m.unaware.Store(3)
	r.has(t, p.commit(t, 1, "live", "live blob"))
	mustShare(t, p, s)
	if st := r.Status(); st.LastError != "" {
		t.Errorf("an error: %s", st.LastError)
	}
}

func TestADirectoryThatIsNotThePrimarysIsNotTrusted(t *testing.T) {
	p := inMemory(t).named(t).history(t, 3)
	if _, err := blobstore.Open("copy", blobstore.Options{FS: p.fs}); err != nil {
		t.Fatal(err)
	}
	s := beside(t, mounted(t, p.fs), "copy", simdisk.New())
	r := s.follow(t, p.asPrimary(t), hasty)
	st := r.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
	if !strings.Contains(st.LastError, "the directory copy is not the primary's blob directory") {
		t.Errorf("the operator reads: %s", st.LastError)
	}
	if st.Durable != 0 || st.StorageID != "" {
		t.Errorf("something was taken from the primary: %+v", st)
	}
}

func TestADirectoryThatIsUnmountedStopsTheSecondaryAndMountedAgainLetsItGoOn(t *testing.T) {
	p := inMemory(t).named(t).history(t, 3)
	m := mounted(t, p.fs)
	s := beside(t, m, sharedDir, simdisk.New())
	r := s.follow(t, p.asPrimary(t), hasty)
	before := p.st.LastTid()
	r.has(t, before)
	m.gone.Store(true)
	p.commit(t, 1, "unseen", "an unseen blob")
	st := r.eventually(t, "stopped", func(st Status) bool { return st.LastError != "" })
	if !strings.Contains(st.LastError, "mounted") {
		t.Errorf("the operator reads: %s", st.LastError)
	}
	st = r.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
	if !strings.Contains(st.LastError, "not the primary's blob directory") || st.Durable != before {
		t.Errorf("%+v", st)
	}
	m.gone.Store(false)
	r.has(t, p.st.LastTid())
	mustShare(t, p, s)
}

func TestABlobThatIsGoneForGoodIsNoReasonToStop(t *testing.T) {
	p := inMemory(t).named(t).history(t, 3)
	for name := range p.blobs(t) {
		if err := p.fs.Remove(sharedDir + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	s := beside(t, mounted(t, p.fs), sharedDir, simdisk.New())
	s.follow(t, p.asPrimary(t), hasty).has(t, p.st.LastTid())
}

func TestTheNextInAChainGetsRealBlobsFromTheSharedDirectory(t *testing.T) {
	p := inMemory(t).named(t).history(t, 4)
	m := mounted(t, p.fs)
	second := beside(t, m, sharedDir, simdisk.New())
	sec := second.secondary(p.asPrimary(t))
	sec.run(t)
	addr := second.serve(t, sec.Identity)
	third := inMemory(t)
	r := third.follow(t, addr)
	r.has(t, p.st.LastTid())
	r.has(t, p.commit(t, 1, "live", "live blob"))
	mustEqual(t, p, third)

	sharer := beside(t, m, sharedDir, simdisk.New()).follow(t, addr)
	st := sharer.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
	if !strings.Contains(st.LastError, "connect to the primary that owns the directory") ||
		st.Refusals[protocol.CodeBlobsNotShared] == 0 {
		t.Errorf("%+v", st)
	}
}

func TestANodeWhoseSharedDirectoryIsGoneStreamsNothingWithoutBlobs(t *testing.T) {
	p := inMemory(t).named(t).history(t, 3)
	m := mounted(t, p.fs)
	second := beside(t, m, sharedDir, simdisk.New())
	sec := second.secondary(p.asPrimary(t))
	sec.run(t).has(t, p.st.LastTid())
	m.gone.Store(true)
	third := inMemory(t)
	r := third.follow(t, second.serve(t, sec.Identity))
	r.eventually(t, "told", func(st Status) bool { return strings.Contains(st.LastError, "mounted") })
	m.gone.Store(false)
	r.has(t, p.st.LastTid())
	mustEqual(t, p, third)
}

func TestAPackOfASharingSecondaryLeavesThePrimarysBlobsAlone(t *testing.T) {
	p := inMemory(t).named(t)
	for i := range 3 {
		p.commit(t, 0, fmt.Sprintf("state %d", i), fmt.Sprintf("blob %d", i))
	}
	s := beside(t, mounted(t, p.fs), sharedDir, simdisk.New())
	r := s.follow(t, p.asPrimary(t))
	r.has(t, p.st.LastTid())
	before := p.blobs(t)
	result, err := s.st.Pack(t.Context(), s.st.LastTid(), filestorage.PackOptions{})
	if err != nil || s.st.Size() >= p.st.Size() {
		t.Fatalf("packed to %d of %d bytes: %+v, %v", s.st.Size(), p.st.Size(), result, err)
	}
	if diff := cmp.Diff(before, p.blobs(t)); diff != "" || len(before) != 3 {
		t.Errorf("%d blobs were there: %s", len(before), diff)
	}
	r.has(t, p.commit(t, 0, "after it", "one more"))
}

func TestACrashOfASharingSecondaryLeavesThePrimarysBlobsAlone(t *testing.T) {
	p := inMemory(t).named(t).history(t, 4)
	m := mounted(t, p.fs)
	addr := p.asPrimary(t)
	for n := 12; n < 80; n += 3 {
		disk := simdisk.New()
		s := beside(t, m, sharedDir, disk)
		disk.PowerOffAt(n)
		r := s.follow(t, addr)
		r.eventually(t, "complete or crashed", func(st Status) bool {
			return st.Durable == p.st.LastTid() || st.State == StateFailed || len(r.done) > 0
		})
		r.end()
		<-r.done
		r.done <- nil
		again := beside(t, m, sharedDir, disk.Crash(uint64(n)))
		again.follow(t, addr).has(t, p.st.LastTid())
		mustShare(t, p, again)
	}
}

func TestWhatThePrimarySaysOfSharingMustFit(t *testing.T) {
	agreed := []string{protocol.SharedBlobs}
	for name, c := range map[string]struct {
		shares  bool
		welcome protocol.Welcome
		words   string
	}{
		"nobody asked":         {false, protocol.Welcome{Blobs: true, Capabilities: agreed}, "did not ask"},
		"it has no blobs":      {true, protocol.Welcome{}, "no blob directory that could be shared"},
		"it does not know how": {true, protocol.Welcome{Blobs: true}, "does not know how to share"},
		"its token leads elsewhere": {true, protocol.Welcome{Blobs: true, Capabilities: agreed,
			Token: protocol.Token{Name: "../../Data.fs"}}, "not the name of a token"},
	} {
		t.Run(name, func(t *testing.T) {
			s := inMemory(t)
			if c.shares {
				s = beside(t, mounted(t, inMemory(t).fs), sharedDir, simdisk.New())
			}
			r := s.follow(t, script(t, c.welcome, (*scripted).untilGone), hasty)
			r.eventually(t, "stopped and told why", func(st Status) bool {
				return (st.State == StateRefused || st.State == StateFailed) && strings.Contains(st.LastError, c.words)
			})
		})
	}
}

// An elsewhere says that its record has a blob in a shared directory.
type elsewhere struct{ *plain }

func (h elsewhere) NextRecord() (*zodb.Record, error) {
	rec, err := h.plain.NextRecord()
	if err == nil {
		rec.SharedBlob, rec.BlobSize = true, 7
	}
	return rec, err
}

func TestABlobThatStaysElsewhereIsDamageForWhoDoesNotShare(t *testing.T) {
	addr := script(t, protocol.Welcome{LastTid: 5, Blobs: true}, func(s *scripted) error {
		enc := protocol.NewEncoder(s.repl, s.hello.Last.Tid)
		if err := enc.Encode(elsewhere{transaction(5, "five")}); err != nil {
			return err
		}
		if err := enc.Flush(); err != nil {
			return err
		}
		return s.untilGone()
	})
	if st := meets(t, addr, "want the blob itself"); st.Durable != 0 || st.State == StateFailed {
		t.Errorf("%+v", st)
	}
}
