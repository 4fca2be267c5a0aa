package heal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
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
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A copyOf is one copy of a storage, open.
type copied struct {
	t     *testing.T
	dir   string
	st    *filestorage.Storage
	blobs *blobstore.Store
	chain *hashchain.Local
}

func (c *copied) data() string { return filepath.Join(c.dir, "Data.fs") }

func openCopy(t *testing.T, dir string) *copied {
	t.Helper()
	c := &copied{t: t, dir: dir}
	c.open()
	t.Cleanup(c.close)
	return c
}

func (c *copied) open() {
	c.t.Helper()
	var err error
	if c.blobs, err = blobstore.Open(filepath.Join(c.dir, "blobs"), blobstore.Options{}); err != nil {
		c.t.Fatal(err)
	}
	if c.st, err = filestorage.Open(c.t.Context(), c.data(), filestorage.Options{Blobs: c.blobs}); err != nil {
		c.t.Fatal(err)
	}
	c.chain = hashchain.Keep(c.st, hashchain.Options{})
	for !c.chain.Status().Known || c.chain.Status().Behind > 0 {
		if runtime.Gosched(); c.t.Context().Err() != nil {
			c.t.Fatal("the chain is not known")
		}
	}
}

func (c *copied) close() {
	if c.st == nil {
		return
	}
	c.chain.Close()
	if err := c.st.Close(); err != nil {
		c.t.Error(err)
	}
	c.st = nil
}

const blobRecord = "\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N."

func record(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(random.IntN(26))
	}
	return fmt.Appendf(nil, "cpersistent.mapping\nPersistentMapping\n.(dS'data'\nS'%s'\ns.", b)
}

// fill commits transactions with records of several objects, undos, and blobs.
func (c *copied) fill(n int) {
	c.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		txn, err := c.st.Begin(c.t.Context(), &zodb.TxnMeta{User: []byte("user"), Description: []byte("text")})
		for _, oid := range []zodb.Oid{zodb.Oid(i % 7), zodb.Oid(i%7 + 10)} {
			_, serial, e := txn.Current(oid)
			if missing := (*zodb.POSKeyError)(nil); errors.As(e, &missing) {
				e = nil
			}
			err = errors.Join(err, e, txn.Store(oid, serial, record(random, 50+random.IntN(900))))
		}
		if i%10 == 5 {
			err = errors.Join(err, txn.StoreBlob(zodb.Oid(100+i), 0, []byte(blobRecord),
				bytes.NewReader(record(random, 3000))))
		}
		if err != nil {
			c.t.Fatal(err)
		}
		tid, err := txn.Finish(c.t.Context(), nil)
		if err != nil {
			c.t.Fatal(err)
		}
		if i%8 == 7 {
			c.undo(tid)
		}
	}
}

// large commits n objects with long records.
func (c *copied) large(n int) {
	c.t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		txn, err := c.st.Begin(c.t.Context(), &zodb.TxnMeta{})
		if err == nil {
			err = txn.Store(zodb.Oid(1000+i), 0, record(random, 20_000))
		}
		if err == nil {
			_, err = txn.Finish(c.t.Context(), nil)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *copied) undo(tid zodb.Tid) {
	c.t.Helper()
	txn, err := c.st.Begin(c.t.Context(), &zodb.TxnMeta{})
	if err == nil {
		_, err = txn.Undo(c.t.Context(), tid)
	}
	if err == nil {
		_, err = txn.Finish(c.t.Context(), nil)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// duplicate copies the files of a closed copy.
func duplicate(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Data.fs.lock", "Data.fs.blocks.zrsd"} {
		if err := os.Remove(filepath.Join(to, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return to
}

// pair returns two open copies of one storage.
func pair(t *testing.T, txns int) (here, there *copied) {
	t.Helper()
	there = openCopy(t, t.TempDir())
	there.fill(txns)
	there.close()
	dir := duplicate(t, there.dir)
	there.open()
	return openCopy(t, dir), there
}

// serve answers other nodes until the test ends, and returns the copy as a peer.
func (c *copied) serve(name string) Peer { return c.serveWith(name, c.st) }

// serveWith is serve with the data of single records from elsewhere; nil: it gives none, as an older version.
func (c *copied) serveWith(name string, records primary.Revisions) Peer {
	c.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	p := primary.New(c.st, primary.Options{
		Identity: func() (string, []protocol.Epoch) { return "storage", []protocol.Epoch{{Number: 1}} },
		History:  c.chain, Name: name, MaxPerAddress: 100, Revisions: records,
		Seed: primary.SeedOptions{
			Snapshot: func() (primary.Snapshot, error) { return c.st.Snapshot() },
			OpenBlob: func(oid zodb.Oid, tid zodb.Tid) (primary.BlobFile, error) { return c.blobs.OpenBlob(oid, tid) },
		},
	})
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(context.Background(), ln) }()
	c.t.Cleanup(func() {
		if err := errors.Join(p.Shutdown(context.Background()), <-ended); err != nil {
			c.t.Error(err)
		}
	})
	return Peer{Name: name, Ask: func(ctx context.Context) (*hashchain.Remote, error) {
		return hashchain.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
		}, nil, "test")
	}}
}

func (c *copied) kept() (state.Chain, error) { return c.chain.Kept(), nil }

func (c *copied) pass(ctx context.Context) (*verify.Pass, error) {
	return verify.Run(ctx, verify.Options{Path: c.data(), Committed: c.st.Size, Kept: c.kept, Blobs: c.blobs})
}

func (c *copied) options(peers ...Peer) Options {
	return Options{Path: c.data(), Target: c.st, Kept: c.kept, Boundary: c.st.Boundary, Blobs: c.blobs, Peers: peers,
		By: "test"}
}

// heals verifies and heals until there is nothing more to be done.
func (c *copied) heals(opt Options) (*Report, *verify.Pass) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	report, pass, err := Rounds(ctx, opt.Dry, c.pass, func(ctx context.Context, s []verify.Suspect) (*Report, error) {
		return Run(ctx, opt, s)
	})
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range report.Items {
		if item := &report.Items[i]; item.Error != nil {
			c.t.Logf("%s at %d, %s: %s", item.What, item.Offset, item.Found, *item.Error)
		}
	}
	return report, pass
}

// flip changes one bit of a file.
func flip(t *testing.T, path string, at int64, bit int) {
	t.Helper()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	b[0] ^= 1 << bit
	if err == nil {
		_, err = f.WriteAt(b[:], at)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same checks that data file and blobs of two copies are the same, byte for byte.
func same(t *testing.T, a, b *copied) {
	t.Helper()
	if !bytes.Equal(read(t, a.data()), read(t, b.data())) {
		t.Error("the data files are not the same")
	}
	list := a.blobFiles()
	if other := b.blobFiles(); strings.Join(list, " ") != strings.Join(other, " ") {
		t.Errorf("the blobs are %v and %v", list, other)
		return
	}
	for _, name := range list {
		if !bytes.Equal(read(t, filepath.Join(a.dir, name)), read(t, filepath.Join(b.dir, name))) {
			t.Errorf("%s is not the same", name)
		}
	}
}

// blobFiles are the names of the blobs.
func (c *copied) blobFiles() (list []string) {
	err := filepath.WalkDir(filepath.Join(c.dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".blob") {
			rel, _ := filepath.Rel(c.dir, path)
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return list
}
