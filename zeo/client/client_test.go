package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/zeotest"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends every wait; a healthy run never comes near it.
const patience = 5 * time.Minute

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// serve serves a new storage until the end of the test.
func serve(t *testing.T, opt zeo.Options, of zeo.StorageOptions) (addr string, st *filestorage.Storage) {
	t.Helper()
	dir := t.TempDir()
	blobs, err := blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err = filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	addr, _ = zeotest.Serve(t, st, opt, of)
	return addr, st
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, opt client.Options, addrs ...string) *client.Conn {
	t.Helper()
	c, err := client.Dial(within(t), addrs, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func begin(t *testing.T, c *client.Conn, meta zodb.TxnMeta) *client.Txn {
	t.Helper()
	txn, err := c.Begin(within(t), &meta)
	if err != nil {
		t.Fatal(err)
	}
	return txn
}

func store(t *testing.T, txn *client.Txn, oid zodb.Oid, serial zodb.Tid, text string) {
	t.Helper()
	if err := txn.Store(within(t), oid, serial, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// commit commits one object.
func commit(t *testing.T, c *client.Conn, oid zodb.Oid, serial zodb.Tid, text string) zodb.Tid {
	t.Helper()
	txn := begin(t, c, zodb.TxnMeta{})
	store(t, txn, oid, serial, text)
	tid, err := txn.Commit(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func load(t *testing.T, c *client.Conn, oid zodb.Oid) *client.Revision {
	t.Helper()
	r, err := c.Load(within(t), oid)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatOneClientCommitsOthersAreToldAndLoad(t *testing.T) {
	for name, msgpack := range map[string]bool{"pickle": false, "msgpack": true} {
		t.Run(name, func(t *testing.T) {
			addr, _ := serve(t, zeo.Options{Msgpack: msgpack}, zeo.StorageOptions{})
			var told []zodb.Tid
			reader := dial(t, client.Options{ReadOnly: true, Invalidated: func(tid zodb.Tid, oids []zodb.Oid) {
				if slices.Equal(oids, []zodb.Oid{7}) {
					told = append(told, tid)
				}
			}}, addr)
			writer := dial(t, client.Options{}, addr)
			first := commit(t, writer, 7, 0, "one")
			second := commit(t, writer, 7, first, "two")
			last, err := reader.LastTransaction(within(t)) // after the invalidations
			if err != nil || last != second || !slices.Equal(told, []zodb.Tid{first, second}) {
				t.Errorf("the last transaction is %v (%v), and %v were announced, want %v and %v", last, err, told,
					first, second)
			}
			if r := load(t, reader, 7); string(r.Data) != "two" || r.Tid != second || r.Next != 0 {
				t.Errorf("loaded %+v", r)
			}
			r, err := reader.LoadBefore(within(t), 7, second)
			if err != nil || string(r.Data) != "one" || r.Tid != first || r.Next != second {
				t.Errorf("loaded %+v, %v from before %v", r, err, second)
			}
			var missing *zodb.POSKeyError
			if _, err := reader.Load(within(t), 8); !errors.As(err, &missing) || missing.Oid != 8 {
				t.Errorf("an object that is not there: %v", err)
			}
			if again := dial(t, client.Options{}, addr); again.Registered() != second {
				t.Errorf("registered at %v, want %v", again.Registered(), second)
			}
		})
	}
}

func TestAConflictIsAnErrorAndLeavesTheConnection(t *testing.T) {
	addr, _ := serve(t, zeo.Options{}, zeo.StorageOptions{})
	c := dial(t, client.Options{}, addr)
	first := commit(t, c, 7, 0, "one")
	second := commit(t, c, 7, first, "two")
	txn := begin(t, c, zodb.TxnMeta{})
	store(t, txn, 7, first, "three")
	_, err := txn.Commit(within(t))
	var conflict *zodb.ConflictError
	want := zodb.ConflictError{Oid: 7, Current: second, Seen: first}
	if !errors.As(err, &conflict) || *conflict != want {
		t.Fatalf("got %v, want %v", err, &want)
	}
	if err := txn.Abort(within(t)); err != nil {
		t.Fatal(err)
	}
	commit(t, c, 7, second, "three")

	txn = begin(t, c, zodb.TxnMeta{})
	if err := txn.Check(within(t), 7, first); err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Commit(within(t)); !errors.As(err, &conflict) || !conflict.Read {
		t.Errorf("a check of an old revision: %v", err)
	}
}

// An inline client has nobody but its caller to read: replies, what others commit meanwhile, and the end.
func TestAnInlineClientReadsWhileItWaits(t *testing.T) {
	addr, _ := serve(t, zeo.Options{}, zeo.StorageOptions{})
	told := 0
	c := dial(t, client.Options{
		Inline: true, AsyncBegin: true, Invalidated: func(zodb.Tid, []zodb.Oid) { told++ },
	}, addr)
	other := dial(t, client.Options{}, addr)
	first := commit(t, c, 1, 0, "one")
	second := commit(t, other, 1, first, "two")
	if rev := load(t, c, 1); rev.Tid != second || told != 1 {
		t.Errorf("loaded %v, want %v; told %d times", rev.Tid, second, told)
	}
	txn := begin(t, c, zodb.TxnMeta{})
	store(t, txn, 1, first, "three")
	var conflict *zodb.ConflictError
	if _, err := txn.Commit(within(t)); !errors.As(err, &conflict) {
		t.Errorf("committed over a change: %v", err)
	}
	if err := txn.Abort(within(t)); err != nil {
		t.Error(err)
	}
	commit(t, c, 1, second, "four")
	c.Close()
	if _, err := c.Begin(within(t), &zodb.TxnMeta{}); err == nil {
		if _, err = c.LoadBefore(within(t), 1, zodb.MaxTid); err == nil {
			t.Error("it loads after its end")
		}
	}
}

func TestATransactionHasItsTidMetadataAndBlob(t *testing.T) {
	addr, st := serve(t, zeo.Options{}, zeo.StorageOptions{})
	c := dial(t, client.Options{}, addr)
	extension := "\x80\x03}q\x00X\x01\x00\x00\x00aq\x01K\x01s."
	far := zodb.Tid(0x0300000000000000)
	txn := begin(t, c, zodb.TxnMeta{
		Tid: far, User: []byte("me"), Description: []byte("what"), Extension: []byte(extension),
	})
	blob := strings.Repeat("blob", 40_000)
	if err := txn.StoreBlob(within(t), 9, 0, []byte("record"), strings.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	if tid, err := txn.Commit(within(t)); err != nil || tid != far {
		t.Fatalf("committed as %v, %v", tid, err)
	}
	if meta := onlyTxn(t, st); string(meta.User) != "me" || string(meta.Description) != "what" ||
		len(meta.Extension) == 0 || meta.Tid != far {
		t.Errorf("committed %+v", meta)
	}
	f, err := st.OpenBlob(9, far)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil || !bytes.Equal(got, []byte(blob)) {
		t.Errorf("the blob has %d bytes, %v", len(got), err)
	}
}

func onlyTxn(t *testing.T, st *filestorage.Storage) zodb.TxnMeta {
	t.Helper()
	it, err := st.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	txn, err := it.Next(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return *txn.Meta()
}

func TestAddressesAreTriedUntilOneTakesTheClient(t *testing.T) {
	reading, _ := serve(t, zeo.Options{}, zeo.StorageOptions{Access: zeo.ReadOnly})
	writing, _ := serve(t, zeo.Options{}, zeo.StorageOptions{})
	l := listen(t)
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if c := dial(t, client.Options{}, nobody, reading, writing); c.Addr() != writing {
		t.Errorf("a writer is at %s", c.Addr())
	}
	if c := dial(t, client.Options{ReadOnly: true}, nobody, reading, writing); c.Addr() != reading {
		t.Errorf("a reader is at %s", c.Addr())
	}
	_, err := client.Dial(within(t), []string{nobody, reading}, client.Options{})
	if !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("no server for writers: %v", err)
	}
	if _, err := client.Dial(within(t), nil, client.Options{}); err == nil {
		t.Error("connected to nobody")
	}
	if _, err := client.Dial(within(t), []string{writing}, client.Options{Storage: "other"}); err == nil {
		t.Error("registered for a storage that is not there")
	}
}

func TestOidsAreNeverGivenTwice(t *testing.T) {
	addr, _ := serve(t, zeo.Options{}, zeo.StorageOptions{})
	c := dial(t, client.Options{}, addr)
	a, err := c.NewOids(within(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.NewOids(within(t))
	if err != nil || len(a) == 0 || len(b) == 0 || a[len(a)-1] >= b[0] {
		t.Errorf("got %v and then %v, %v", a, b, err)
	}
}
