package salvage

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/zeotest"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var blobRecord = []byte("\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N.")

func open(t *testing.T, dir string) *filestorage.Storage {
	t.Helper()
	blobs, err := blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func commit(t *testing.T, st *filestorage.Storage, tid zodb.Tid, data map[zodb.Oid]string) {
	t.Helper()
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{Tid: tid, User: []byte("ann"), Description: []byte("note")})
	if err != nil {
		t.Fatal(err)
	}
	for oid, content := range data {
		serial, _ := st.GetTid(oid)
		if blob, is := strings.CutPrefix(content, "blob:"); is {
			err = txn.StoreBlob(oid, serial, blobRecord, strings.NewReader(blob))
		} else {
			err = txn.Store(oid, serial, []byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

// scene makes two storages that share a history up to 0x10, a fragment of what the one had after it, and a client of
// the other, which has what changes says.
func scene(t *testing.T, changes map[zodb.Oid]string) (*Fragment, *client.Conn, *filestorage.Storage) {
	t.Helper()
	dirs := []string{t.TempDir(), t.TempDir()}
	for _, dir := range dirs {
		st := open(t, dir)
		commit(t, st, 0x10, map[zodb.Oid]string{1: "one", 2: "two", 3: "three"})
		if dir == dirs[0] {
			commit(t, st, 0x20, map[zodb.Oid]string{1: "one, more"})
			commit(t, st, 0x21, map[zodb.Oid]string{2: "two, more", 9: "blob:of the fragment"})
			commit(t, st, 0x22, map[zodb.Oid]string{1: "one, even more", 8: "new"})
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f := fragment(t, filepath.Join(dirs[0], "Data.fs"))
	st := open(t, dirs[1])
	if changes != nil {
		commit(t, st, 0x30, changes)
	}
	return f, serve(t, st), st
}

// fragment rewinds the storage to 0x10 and opens what was set aside.
func fragment(t *testing.T, data string) *Fragment {
	t.Helper()
	keep, err := state.Open(vfs.OS{}, data)
	if err == nil {
		err = keep.Create()
	}
	if err != nil {
		t.Fatal(err)
	}
	site := &rewind.Storage{
		FS: vfs.OS{}, Data: data, Blobs: filepath.Join(filepath.Dir(data), "blobs"), Logger: hclog.NewNullLogger(),
	}
	if err := site.Begin(&state.Rewind{
		Last: 0x10, First: 0x20, Until: 0x22, Follow: []string{"a:1"}, Epochs: []protocol.Epoch{{Number: 1}},
	}); err != nil {
		t.Fatal(err)
	}
	where, err := site.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), *where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func serve(t *testing.T, st *filestorage.Storage) *client.Conn {
	t.Helper()
	addr, stop := zeotest.Serve(t, st, zeo.Options{}, zeo.StorageOptions{})
	conn, err := client.Dial(t.Context(), []string{addr}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		stop()
	})
	return conn
}

func states(list []Verdict) (out []string) {
	for _, v := range list {
		out = append(out, v.Tid.String()[14:]+" "+v.State)
	}
	return out
}

func TestWhatNobodyHasChangedIsCommittedAgainOnce(t *testing.T) {
	f, conn, st := scene(t, nil)
	judged, err := f.Judge(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"20 free", "21 free", "22 free"}, states(judged)); diff != "" {
		t.Error(diff)
	}
	applied, err := f.Apply(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"20 done", "21 done", "22 done"}, states(applied)); diff != "" {
		t.Error(diff)
	}
	for oid, want := range map[zodb.Oid]string{1: "one, even more", 2: "two, more", 8: "new"} {
		if data, _, err := st.Load(oid); err != nil || string(data) != want {
			t.Errorf("oid %v is %q, %v", oid, data, err)
		}
	}
	_, tid, err := st.Load(9)
	if err != nil || tid != applied[1].New {
		t.Errorf("the blob is of %v, want %v: %v", tid, applied[1].New, err)
	}
	it, err := st.Iterate(tid-1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	txn, err := it.Next(t.Context())
	if err != nil || string(txn.Meta().User) != "ann" || string(txn.Meta().Description) != "note" {
		t.Errorf("%+v, %v", txn.Meta(), err)
	}
	again, err := f.Apply(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range again {
		if v.State == Done {
			t.Errorf("%v was committed twice", v.Tid)
		}
	}
}

func TestWhatWasChangedSinceIsLeftAlone(t *testing.T) {
	f, conn, st := scene(t, map[zodb.Oid]string{2: "two, otherwise", 8: "another object"})
	applied, err := f.Apply(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"20 done", "21 conflict", "22 conflict"}, states(applied)); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(applied[1].Why, "was changed at the primary by") ||
		!strings.Contains(applied[2].Why, "was new, and is another object") {
		t.Errorf("%+v", applied)
	}
	if data, _, _ := st.Load(2); string(data) != "two, otherwise" {
		t.Errorf("oid 2 is %q", data)
	}
}

func TestChosenTransactionsAreExported(t *testing.T) {
	f, _, _ := scene(t, nil)
	f.only = []zodb.Tid{0x21}
	path := filepath.Join(t.TempDir(), "chosen.fs")
	if err := f.Export(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	blobs, err := blobstore.Open(path+".blobs", blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), path, filestorage.Options{Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if data, tid, err := st.Load(2); string(data) != "two, more" || tid != 0x21 || st.Len() != 2 {
		t.Errorf("%q of %v, %v; %d objects", data, tid, err, st.Len())
	}
	b, err := blobs.OpenBlob(9, 0x21)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if content, err := io.ReadAll(io.NewSectionReader(b, 0, 100)); string(content) != "of the fragment" {
		t.Errorf("%q, %v", content, err)
	}
	if err := f.Export(t.Context(), path); err == nil {
		t.Error("exported onto a storage that is there")
	}
}
