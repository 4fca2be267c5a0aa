package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const storageID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"

// nodeID returns the id of node n.
func nodeID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// newStore returns an empty archive in a folder of a simulated disk.
func newStore(tb testing.TB, disk vfs.FS) *objectstore.Store {
	tb.Helper()
	if err := disk.Mkdir("/archive", 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		tb.Fatal(err)
	}
	s, err := objectstore.Open(tb.Context(), "file:///archive", objectstore.Options{FS: disk})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// A site is a node with a storage, for tests.
type site struct {
	t     testing.TB
	disk  vfs.FS
	dir   string
	st    *filestorage.Storage
	chain *hashchain.Local
	blobs *blobstore.Store
	rand  *rand.Rand
	node  Node
	oids  []zodb.Oid
	now   time.Time // of the writer's clock
	tid   zodb.Tid
	saved *Saved // by the writers of the node
}

var firstTid = func() zodb.Tid {
	tid, err := zodb.TidFromTime(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		panic(err)
	}
	return tid
}()

func newSite(tb testing.TB, n int) *site {
	tb.Helper()
	disk, dir := simdisk.New(), fmt.Sprintf("/node%d", n)
	if err := disk.Mkdir(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return newSiteOn(tb, n, disk, dir)
}

func newSiteOn(tb testing.TB, n int, disk vfs.FS, dir string) *site {
	tb.Helper()
	s := &site{
		t: tb, disk: disk, dir: dir, rand: rand.New(rand.NewPCG(1, uint64(n))),
		now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), tid: firstTid,
		node: Node{
			Storage: storageID, ID: nodeID(n), Name: fmt.Sprintf("node%d", n), Primary: true,
			Epochs: []protocol.Epoch{{Number: 1, Node: nodeID(1)}},
		},
	}
	s.open()
	return s
}

func (s *site) path() string { return filepath.Join(s.dir, "Data.fs") }

func (s *site) open() {
	s.t.Helper()
	var err error
	if s.blobs, err = blobstore.Open(filepath.Join(s.dir, "blobs"), blobstore.Options{FS: s.disk}); err != nil {
		s.t.Fatal(err)
	}
	s.st, err = filestorage.Open(s.t.Context(), s.path(), filestorage.Options{FS: s.disk, Blobs: s.blobs})
	if err != nil {
		s.t.Fatal(err)
	}
	s.chain = hashchain.Keep(s.st, hashchain.Options{})
}

func (s *site) close() {
	s.t.Helper()
	s.chain.Close()
	if err := s.st.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) source() *Local {
	return &Local{
		Storage:  s.st,
		Who:      func() (Node, error) { return s.node, nil },
		OpenBlob: s.st.OpenBlob,
		Chain:    s.chain,
	}
}

// writer returns one whose clock the test moves.
func (s *site) writer(store Store, change ...func(*Options)) *Writer {
	opt := Options{Store: store, Now: func() time.Time { return s.now }, Saved: s.saved,
		Save: func(v *Saved) error { s.saved = v; return nil }}
	for _, c := range change {
		c(&opt)
	}
	w := NewWriter(s.source(), opt)
	s.t.Cleanup(w.closeFile)
	return w
}

// archive archives everything that there is.
func (s *site) archive(w *Writer) {
	s.t.Helper()
	for s.chain.Status().Behind > 0 || s.st.LastTid() != 0 && !s.chain.Status().Known {
		runtime.Gosched() // the chain follows by itself
	}
	if err := w.Once(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

const blobRecordData = "cZODB.blob\nBlob\nq\x01.}q\x02." // as ZODB pickles an empty Blob

// commit stores so many objects, one of them with a blob if blob is set.
func (s *site) commit(objects, size int, blob bool) zodb.Tid {
	s.t.Helper()
	s.tid += zodb.Tid(1 << 26) // about a second
	txn, err := s.st.Begin(s.t.Context(), &zodb.TxnMeta{Tid: s.tid, User: []byte("user"), Description: []byte("test")})
	if err != nil {
		s.t.Fatal(err)
	}
	for range objects {
		var oid zodb.Oid
		if len(s.oids) > 10 && s.rand.IntN(2) == 0 {
			oid = s.oids[s.rand.IntN(len(s.oids))]
		} else {
			oid = zodb.Oid(len(s.oids))
			s.oids = append(s.oids, oid)
		}
		_, serial, e := txn.Current(oid)
		if none := (*zodb.POSKeyError)(nil); errors.As(e, &none) {
			e = nil
		}
		data := fmt.Appendf(nil, "cpersistent.mapping\nPersistentMapping\n.(dS'data'\nS'%s'\ns.",
			strings.Repeat(string(rune('a'+s.rand.IntN(26))), size))
		err = errors.Join(err, e, txn.Store(oid, serial, data))
	}
	if blob {
		oid := zodb.Oid(1<<32 + s.rand.Uint64N(8))
		_, serial, e := txn.Current(oid)
		if none := (*zodb.POSKeyError)(nil); errors.As(e, &none) {
			e = nil
		}
		content := strings.NewReader(strings.Repeat("b", s.rand.IntN(5000)) + s.tid.String())
		err = errors.Join(err, e, txn.StoreBlob(oid, serial, []byte(blobRecordData), content))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	tid, err := txn.Finish(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return tid
}

func (s *site) undo(tid zodb.Tid) zodb.Tid {
	s.t.Helper()
	s.tid += zodb.Tid(1 << 26)
	txn, err := s.st.Begin(s.t.Context(), &zodb.TxnMeta{Tid: s.tid})
	if err == nil {
		if _, err = txn.Undo(s.t.Context(), tid); err != nil {
			return 0 // it cannot be undone
		}
		tid, err = txn.Finish(s.t.Context(), nil)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return tid
}

func (s *site) pack(stop zodb.Tid) bool {
	s.t.Helper()
	r, err := s.st.Pack(s.t.Context(), stop, filestorage.PackOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Packed
}

// A look is what there was of a site at a moment.
type look struct {
	data  [sha256.Size]byte
	size  int64
	blobs map[string]string
}

func lookAt(tb testing.TB, disk vfs.FS, data, blobs string) look {
	tb.Helper()
	b := readFile(tb, disk, data)
	l := look{sha256.Sum256(b), int64(len(b)), map[string]string{}}
	dir, err := blobstore.Open(blobs, blobstore.Options{FS: disk})
	if err == nil {
		err = dir.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, path string) error {
			l.blobs[fmt.Sprintf("%v %v", oid, tid)] = string(readFile(tb, disk, path))
			return nil
		})
	}
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func (s *site) look() look { return lookAt(s.t, s.disk, s.path(), filepath.Join(s.dir, "blobs")) }

func readFile(tb testing.TB, disk vfs.FS, path string) []byte {
	tb.Helper()
	b, err := vfs.ReadFile(disk, path, 1<<30)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// same compares what was restored with what there was.
func same(tb testing.TB, what string, got, want look) {
	tb.Helper()
	if got.data != want.data || got.size != want.size {
		tb.Errorf("%s: the data file is not the one that there was: %d bytes, want %d", what, got.size, want.size)
	}
	for name, content := range want.blobs {
		if got.blobs[name] != content {
			tb.Errorf("%s: blob %s has %d bytes, want %d", what, name, len(got.blobs[name]), len(content))
		}
	}
	for name := range got.blobs {
		if _, was := want.blobs[name]; !was {
			tb.Errorf("%s: there is a blob %s, which there was not", what, name)
		}
	}
}

// promoted returns another node with what this one had, in the next epoch, for which others have voted.
func (s *site) promoted(n int) *site {
	s.t.Helper()
	next := newSite(s.t, n)
	next.close()
	copyFolder(s.t, s.disk, s.dir, next.disk, next.dir)
	next.open()
	next.oids, next.now, next.tid = s.oids, s.now, s.tid+zodb.Tid(n)
	next.node.Epochs = append(s.node.Epochs[:len(s.node.Epochs):len(s.node.Epochs)], protocol.Epoch{
		Number: s.node.Epochs[len(s.node.Epochs)-1].Number + 1, Begin: next.st.LastTid(), Node: next.node.ID,
		Voters: []string{next.node.ID, nodeID(999)},
	})
	return next
}

func copyFolder(tb testing.TB, from vfs.FS, fromDir string, to vfs.FS, toDir string) {
	tb.Helper()
	entries, err := from.ReadDir(fromDir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		src, dst := filepath.Join(fromDir, e.Name()), filepath.Join(toDir, e.Name())
		if e.IsDir() {
			if err := to.Mkdir(dst, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				tb.Fatal(err)
			}
			copyFolder(tb, from, src, to, dst)
			continue
		}
		if strings.HasSuffix(e.Name(), ".lock") || strings.HasSuffix(e.Name(), ".index") {
			continue
		}
		b := readFile(tb, from, src)
		if err := vfs.WriteNewFile(to, dst, func(f vfs.File) error {
			_, err := f.WriteAt(b, 0)
			return err
		}); err != nil {
			tb.Fatal(err)
		}
	}
}

func open(tb testing.TB, store Store, keys Keys) *Archive {
	tb.Helper()
	a, err := Open(tb.Context(), store, keys)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// restored restores a moment into a new disk.
func restored(tb testing.TB, a *Archive, tid zodb.Tid, exact bool) (vfs.FS, *RestoreReport, error) {
	tb.Helper()
	m, err := a.Moment(tb.Context(), tid, exact)
	if err != nil {
		return nil, nil, err
	}
	disk := simdisk.New()
	if err := disk.Mkdir("/copy", 0o755); err != nil {
		tb.Fatal(err)
	}
	r, err := m.Restore(tb.Context(), RestoreOptions{FS: disk, Data: "/copy/Data.fs", Blobs: "/copy/blobs", AtOnce: 3})
	return disk, r, err
}

func mustRestore(tb testing.TB, a *Archive, tid zodb.Tid) look {
	tb.Helper()
	disk, _, err := restored(tb, a, tid, tid != Latest)
	if err != nil {
		tb.Fatalf("restore of %v: %v", tid, err)
	}
	return lookAt(tb, disk, "/copy/Data.fs", "/copy/blobs")
}

// A countedSource counts what is read of its file.
type countedSource struct {
	*Local
	read int64
}

func (c *countedSource) File(ctx context.Context) (File, error) {
	f, err := c.Local.File(ctx)
	return &countedFile{f, c}, err
}

type countedFile struct {
	File
	c *countedSource
}

func (f *countedFile) ReadAt(b []byte, pos int64) (int, error) {
	n, err := f.File.ReadAt(b, pos)
	f.c.read += int64(n)
	return n, err
}

// flip changes one byte of a file, and returns what takes that back.
func flip(tb testing.TB, disk vfs.FS, path string, at int64) (back func()) {
	tb.Helper()
	change := func() {
		f, err := disk.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			tb.Fatal(err)
		}
		var b [1]byte
		_, err = f.ReadAt(b[:], at)
		b[0] ^= 0x10
		_, werr := f.WriteAt(b[:], at)
		if err = errors.Join(err, werr, f.Close()); err != nil {
			tb.Fatal(err)
		}
	}
	change()
	return change
}
