package secondary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long a test waits for what must happen.
const limit = 5 * time.Minute

// A site is a storage with blobs, on a disk.
type site struct {
	fs    vfs.FS
	dir   string
	own   *blobstore.Store // nil where the directory is another's
	share SharedBlobs      // nil where it is not
	st    *filestorage.Storage
	keep  *state.Keeper
	id    *state.State // what keep had when it was last looked at
}

// onDisk opens, or creates, the storage in dir. The test closes it when it ends.
func onDisk(t *testing.T, disk vfs.FS, dir string) *site {
	t.Helper()
	s := &site{fs: disk, dir: dir}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.st.Close() }) // on a disk that has lost power it fails
	return s
}

// inMemory returns an empty storage on a disk that syncs in no time.
func inMemory(t *testing.T) *site {
	t.Helper()
	return onDisk(t, simdisk.New(), "db")
}

func (s *site) data() string { return filepath.Join(s.dir, "Data.fs") }

func (s *site) open() error {
	if err := s.makeFolder(); err != nil {
		return err
	}
	var err error
	if s.own, err = blobstore.Open(filepath.Join(s.dir, "blobs"), blobstore.Options{FS: s.fs}); err != nil {
		return err
	}
	return s.openWith(s.own)
}

// openWith opens the storage with a blob directory.
func (s *site) openWith(blobs filestorage.Blobs) (err error) {
	s.st, err = filestorage.Open(context.Background(), s.data(), filestorage.Options{FS: s.fs, Blobs: blobs})
	if err != nil {
		return err
	}
	if err := s.identify(); err != nil {
		return errors.Join(err, s.st.Close())
	}
	return nil
}

// makeFolder makes the site's folder, as an operator does long before a power failure.
func (s *site) makeFolder() error {
	if err := s.fs.Mkdir(s.dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.fs.SyncDir(filepath.Dir(s.dir))
}

// identify reads the site's identity, where it has one.
func (s *site) identify() (err error) {
	if s.keep, err = state.Open(s.fs, s.data()); err != nil {
		return err
	}
	s.id = s.keep.State()
	return nil
}

// named gives a site an identity, as a primary has one.
func (s *site) named(t *testing.T) *site {
	t.Helper()
	if err := s.keep.Create(); err != nil {
		t.Fatal(err)
	}
	s.id = s.keep.State()
	return s
}

var blobRecord = []byte("\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N.")

// commit adds a transaction with a record, and with a blob where there is content for it.
func (s *site) commit(t *testing.T, oid zodb.Oid, data, blob string) zodb.Tid {
	t.Helper()
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{
		User: []byte("somebody"), Description: []byte(data[:min(len(data), 100)]),
	})
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := s.st.GetTid(oid)
	if err := txn.Store(oid, serial, []byte(data)); err != nil {
		t.Fatal(err)
	}
	if blob != "" {
		at := oid + 1000
		serial, _ := s.st.GetTid(at)
		if err := txn.StoreBlob(at, serial, blobRecord, bytes.NewReader([]byte(blob))); err != nil {
			t.Fatal(err)
		}
	}
	tid, err := txn.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// history adds n transactions, every third with a blob.
func (s *site) history(t *testing.T, n int) *site {
	t.Helper()
	for i := range n {
		blob := ""
		if i%3 == 2 {
			blob = fmt.Sprintf("blob %d", i)
		}
		s.commit(t, zodb.Oid(i%4), fmt.Sprintf("state %d", i), blob)
	}
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve starts a primary on the site, with identity as its own, and returns its address.
func (s *site) serve(t *testing.T, ident func() (string, []protocol.Epoch)) string {
	t.Helper()
	l := listen(t)
	s.serveOn(t, l, ident)
	return l.Addr().String()
}

func (s *site) serveOn(t *testing.T, l net.Listener, ident func() (string, []protocol.Epoch),
	change ...func(*primary.Options)) *primary.Primary {
	t.Helper()
	opt := primary.Options{Identity: ident, PutToken: s.putToken(), Heartbeat: 500 * time.Millisecond,
		MaxSecondaries: 1000, Seed: s.seeds()}
	for _, f := range change {
		f(&opt)
	}
	p := primary.New(s.st, opt)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return p
}

// seeds lets the site give its data file as it is.
func (s *site) seeds() primary.SeedOptions {
	return primary.SeedOptions{
		Snapshot: func() (primary.Snapshot, error) { return s.st.Snapshot() },
		OpenBlob: func(oid zodb.Oid, tid zodb.Tid) (primary.BlobFile, error) { return s.st.OpenBlob(oid, tid) },
	}
}

// asPrimary starts a primary with the identity that the site has.
func (s *site) asPrimary(t *testing.T) string {
	t.Helper()
	return s.serve(t, func() (string, []protocol.Epoch) { return s.id.StorageID, s.id.Epochs })
}

// A running is a Secondary whose Run is running.
type running struct {
	*Secondary
	done chan error
	end  context.CancelFunc
}

// quick makes waits short, so that a test of what follows a failure is quick.
func quick(opt *Options) {
	opt.MinBackoff, opt.MaxBackoff = time.Millisecond, 10*time.Millisecond
}

// follow runs a secondary on the site until the test ends.
func (s *site) follow(t *testing.T, addr string, change ...func(*Options)) *running {
	t.Helper()
	if err := s.identify(); err != nil {
		t.Fatal(err)
	}
	return s.secondary(addr, change...).run(t)
}

func (s *site) secondary(addr string, change ...func(*Options)) *Secondary {
	opt := Options{Addresses: []string{addr}, SharedBlobs: s.share, Name: "test"}
	quick(&opt)
	for _, f := range change {
		f(&opt)
	}
	return New(s.st, s.keep, opt)
}

func (s *Secondary) run(t *testing.T) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Secondary: s, done: make(chan error, 1), end: cancel}
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// stop ends Run and returns its error.
func (r *running) stop() error {
	r.end()
	err := <-r.done
	r.done <- err
	return err
}

// eventually waits until a status is as it should be.
func (r *running) eventually(t *testing.T, what string, ok func(Status) bool) Status {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	patience := time.NewTimer(limit)
	defer patience.Stop()
	for {
		st := r.Status()
		if ok(st) {
			return st
		}
		select {
		case <-tick.C:
		case <-patience.C:
			t.Fatalf("never %s: %+v", what, st)
		}
	}
}

// has waits until the secondary has everything up to tid.
func (r *running) has(t *testing.T, tid zodb.Tid) Status {
	t.Helper()
	return r.eventually(t, "at "+tid.String(), func(st Status) bool { return st.Durable == tid })
}
