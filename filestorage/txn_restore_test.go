package filestorage

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// A record whose data are cut short, longer than announced, or cannot be read breaks its transaction, not the storage.
func TestRestoreBrokenData(t *testing.T) {
	s := emptyStorage(t, Options{})
	base := commit(t, s, 1, 0, "some data")
	broken := errors.New("broken line")
	for name, rec := range map[string]*zodb.Record{
		"short":                  {Oid: 2, Size: 10, Data: strings.NewReader("short")},
		"long":                   {Oid: 2, Size: 3, Data: strings.NewReader("longer")},
		"unreadable":             {Oid: 2, Size: 3, Data: iotest.ErrReader(broken)},
		"empty":                  {Oid: 2, Size: 0, Data: strings.NewReader("")},
		"short, like another's":  {Oid: 1, DataTxn: base, Size: 9, Data: strings.NewReader("some")},
		"longer than another's":  {Oid: 1, DataTxn: base, Size: 9, Data: strings.NewReader("some data more")},
		"unreadable, another's":  {Oid: 1, DataTxn: base, Size: 9, Data: iotest.ErrReader(broken)},
		"a blob without a place": {Oid: 1, Size: 1, Data: strings.NewReader("x"), Blob: strings.NewReader("")},
	} {
		txn := mustBegin(t, s, &zodb.TxnMeta{})
		if err := txn.Restore(rec); err == nil {
			t.Errorf("%s: restored", name)
		}
		if err := txn.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, s, 1, base, "goes on")
}

// Restored data equal to those of another transaction become a back pointer, else they are written in full: also when
// they differ late, when that transaction does not exist or lacks the oid, and when it is not durable yet.
func TestRestoreBackPointer(t *testing.T) {
	long := strings.Repeat("0123456789", 20000)
	late := long[:len(long)-1] + "x"
	for _, c := range []struct {
		name    string
		dataTxn zodb.Tid
		data    string
		pointer bool
	}{
		{"same", 10, long, true},
		{"differs at the end", 10, late, false},
		{"differs in size", 10, long + "x", false},
		{"no such transaction", 11, long, false},
		{"transaction without the oid", 20, long, false},
		{"transaction in front of all", 1, long, false},
		{"none", 0, long, false},
	} {
		for _, broken := range []bool{false, true} { // whether the oid's history has a gap, as after a pack
			t.Run(fmt.Sprintf("%s, gap %v", c.name, broken), func(t *testing.T) {
				s := emptyStorage(t, Options{})
				restore(t, s, 10, &zodb.Record{Oid: 1, Tid: 10, Data: strings.NewReader(long), Size: int64(len(long))})
				restore(t, s, 20, &zodb.Record{Oid: 2, Tid: 20, Data: strings.NewReader("other"), Size: 5})
				restore(t, s, 30, &zodb.Record{Oid: 1, Tid: 30, HasPrev: !broken,
					Data: strings.NewReader("new"), Size: 3})
				size := int64(len(c.data))
				last := restore(t, s, 40, &zodb.Record{Oid: 1, Tid: 40, HasPrev: true, DataTxn: c.dataTxn,
					Data: strings.NewReader(c.data), Size: size})
				<-last.Done()
				pos, _ := s.index.get(1)
				r, err := s.record(1, pos, s.Size())
				if err != nil || (r.PLen == 0) != c.pointer {
					t.Errorf("record %+v, %v", r, err)
				}
				if data, tid, err := s.Load(1); err != nil || tid != 40 || string(data) != c.data {
					t.Errorf("%d bytes of %v, %v", len(data), tid, err)
				}
			})
		}
	}
}

// restore enqueues a transaction of one record.
func restore(t *testing.T, s *Storage, tid zodb.Tid, rec *zodb.Record) *Commit {
	t.Helper()
	txn := mustBegin(t, s, &zodb.TxnMeta{Tid: tid})
	if err := txn.Restore(rec); err != nil {
		t.Fatal(err)
	}
	c, err := txn.Enqueue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A transaction of any size passes through a bounded buffer.
func TestLargeTransaction(t *testing.T) {
	s := emptyStorage(t, Options{})
	const size = 40 << 20
	txn := mustBegin(t, s, &zodb.TxnMeta{Tid: 7})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := txn.Restore(&zodb.Record{Oid: 1, Tid: 7, Size: size, Data: io.LimitReader(zeros{}, size)}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
		t.Errorf("restoring %d bytes allocated %d", size, grown)
	}
	mustFinish(t, txn)
	data, _, err := s.Load(1)
	if diff := cmp.Diff(len(data), size); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
