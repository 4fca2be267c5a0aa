package zeo

import (
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// Files of every kind that Python wrote go through every method, in both encodings: each call is answered, with what a
// Python client can read, and none costs more than itself.

// unopenable are the fixtures that are damaged on purpose.
var unopenable = map[string]bool{"corrupt-length": true, "vectors": true}

func TestEveryMethodAnswersOverEveryFixture(t *testing.T) {
	names, err := fs.Glob(os.DirFS(filepath.Join("..", "testdata", "filestorage")), "*/Data.fs")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d fixtures, %v", len(names), err)
	}
	for _, name := range names {
		for _, encoding := range []string{wire.Z5, wire.M5} {
			t.Run(filepath.Dir(name)+" "+encoding, func(t *testing.T) {
				if unopenable[filepath.Dir(name)] {
					return
				}
				before := recovered.Count()
				everyMethod(t, fixture(t, filepath.Dir(name)), encoding)
				if n := recovered.Count() - before; n != 0 {
					t.Errorf("%d panics", n)
				}
			})
		}
	}
}

// fixture serves a copy.
func fixture(t *testing.T, name string) *site {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "testdata", "filestorage", name))); err != nil {
		t.Fatal(err)
	}
	blobs, err := blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return offer(t, st, Options{}, StorageOptions{})
}

// A caller calls methods and looks whether a Python client could read the answers.
type caller struct {
	*peer
	called map[string]bool
}

// do returns the answer, nil for an exception, which is an answer, too.
func (c *caller) do(method string, args ...pickle.Value) pickle.Value {
	c.t.Helper()
	c.called[method] = true
	m := c.answer(c.send(0, method, args...))
	if err := readable(m.Args, c.codec); err != nil {
		c.t.Errorf("%s: a client cannot read %v", method, err)
	}
	if m.Flag != 0 {
		return nil
	}
	return m.Args
}

func everyMethod(t *testing.T, s *site, encoding string) {
	t.Helper()
	c := &caller{s.dial(t, encoding), map[string]bool{"register": true}}
	c.call("register", "1", false)
	var oids []zodb.Oid
	var tids []zodb.Tid
	iterate(c, func(oid zodb.Oid, tid zodb.Tid) { oids, tids = append(oids, oid), append(tids, tid) })
	oids, tids = append(oids, 1<<50), append(tids, maxTid) // there is none
	c.do("record_iternext", nil)
	for i, oid := range oids {
		if i > 100 { // the rest is of the same kinds
			break
		}
		c.do("loadBefore", oidValue(oid), tidValue(maxTid))
		c.do("loadSerial", oidValue(oid), tidValue(tids[i]))
		c.do("getTid", oidValue(oid))
		c.do("history", oidValue(oid), int64(50))
		c.do("record_iternext", oidValue(oid))
		c.do("sendBlob", oidValue(oid), tidValue(tids[i]))
	}
	for _, tid := range append(tids, 0) {
		c.do("getInvalidations", tidValue(tid))
	}
	log := c.do("undoLog", int64(0), int64(-1_000_000))
	c.do(
		"undoInfo",
		int64(0),
		int64(-20),
		dict("user_name", pickle.Bytes("someone"), "description", "text", "size", int64(1)),
	)
	c.do("undoInfo", int64(0), int64(-20), dict("id", nil, "x", true, "time", 1.5))
	for _, method := range []string{"get_info", "ping", "lastTransaction", "server_status", "new_oids"} {
		c.do(method)
	}
	c.do("set_client_label", "label")
	write(c, log)
	c.do("pack", float64(1<<40), true)
	iterate(c, func(zodb.Oid, zodb.Tid) {})
	c.call("ping") // the connection is still there
	for method := range handlers {
		if !c.called[method] {
			t.Errorf("%s was not called", method)
		}
	}
}

// iterate walks over all transactions and their records.
func iterate(c *caller, each func(oid zodb.Oid, tid zodb.Tid)) {
	id := c.do("iterator_start", nil, nil)
	for {
		txn, ok := c.do("iterator_next", id).(pickle.Tuple)
		if !ok {
			break
		}
		records := c.do("iterator_record_start", id, txn[0])
		for {
			rec, ok := c.do("iterator_record_next", records).(pickle.Tuple)
			if !ok {
				break
			}
			each(zodb.Oid(tidIn(c.t, rec[0])), tidIn(c.t, rec[1]))
		}
		c.do("iterator_gc", pickle.Tuple{records})
	}
}

// write commits, restores, deletes and undoes.
func write(c *caller, log pickle.Value) {
	begin := func(extension, tid pickle.Value) {
		c.do("tpc_begin", handle, pickle.Bytes("user"), pickle.Bytes("note"), extension, tid, " ")
	}
	end := func() {
		if c.do("vote", handle) == nil {
			c.do("tpc_abort", handle)
			return
		}
		c.do("tpc_finish", handle)
	}
	begin(dict(pickle.Bytes("a"), int64(1), pickle.Bytes("b"), int64(2)), nil)
	fresh := oidValue(zodb.Oid(1) << 40)
	c.do("storea", fresh, tidValue(0), pickle.Bytes("data"), handle)
	c.do("storeBlobStart")
	c.do("storeBlobChunk", pickle.Bytes("blob"))
	c.do(
		"storeBlobEnd",
		oidValue(1<<40+1),
		tidValue(0),
		pickle.Bytes("\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N."),
		handle,
	)
	end()
	serial := c.do("getTid", fresh)
	begin(nil, nil)
	c.do("checkCurrentSerialInTransaction", fresh, serial, handle)
	c.do("deleteObject", fresh, serial, handle)
	end()
	last := tidIn(c.t, c.call("lastTransaction"))
	begin(nil, tidValue(last+1))
	c.do("restorea", oidValue(1<<40+2), tidValue(last+1), pickle.Bytes("data"), nil, handle)
	end()
	begin(nil, nil)
	c.do("storeBlobShared", fresh, tidValue(0), pickle.Bytes("data"), "none.tmp", handle)
	end()
	entries, _ := items(log)
	for i, e := range entries {
		d, _ := e.(*pickle.Dict)
		id, _ := d.Get("id")
		if i < 50 {
			begin(nil, nil)
			c.do("undoa", id, handle)
			end()
		}
	}
	begin(nil, nil)
	c.do("undoa", pickle.Bytes("none"), handle)
	c.do("tpc_abort", handle)
}

// readable fails for what the unpickler or the msgpack decoder of a client fails for, which leaves its caller waiting
// for ever.
func readable(v pickle.Value, codec wire.Codec) error {
	msgpack, _ := wire.CodecFor(wire.M5)
	packed := codec == msgpack
	switch v := v.(type) {
	case nil, bool, int64, *big.Int, float64, pickle.Bytes:
		return nil
	case string:
		if packed && !utf8.ValidString(v) {
			return fmt.Errorf("the text %q", v)
		}
		return nil
	case pickle.Tuple, *pickle.List:
		list, _ := items(v)
		for _, item := range list {
			if err := readable(item, codec); err != nil {
				return err
			}
		}
		return nil
	case *pickle.Dict:
		for _, p := range v.Items {
			_, isText := p.Key.(string)
			_, isBytes := p.Key.(pickle.Bytes)
			if packed && !isText && !isBytes || !hashable(p.Key) {
				return fmt.Errorf("the key %v", p.Key)
			}
			if err := readable(pickle.Tuple{p.Key, p.Value}, codec); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("a %T", v)
}
