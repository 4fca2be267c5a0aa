package zeo

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// minute is a transaction of testdata/tids-down.
func minute(n int) zodb.Tid { return 0x03f8658000000000 + zodb.Tid(n)<<32 }

func tidsDown(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "testdata", "tids-down"))); err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return offer(t, st, Options{}, StorageOptions{})
}

// What ZODB's own iterator yields for the file: transactions in its order, each with its own records.
var ofTidsDown = []string{
	"10: 0 1 2", "40: 1 3", "20: 1", "41: 2 4", "21: 2=10 4 none", "22: 0", "23: 1=40", "30: 5", "25: 6",
}

func TestIteratorsGoByTheOrderOfTheFile(t *testing.T) {
	s := tidsDown(t)
	for _, encoding := range []string{wire.Z5, wire.M5} {
		p := s.dial(t, encoding)
		p.call("register", "1", false)
		var got []string
		id := p.call("iterator_start", nil, nil)
		for {
			txn, ok := p.call("iterator_next", id).(pickle.Tuple)
			if !ok {
				break
			}
			tid := tidIn(t, txn[0])
			line := fmt.Sprintf("%d:", (tid-minute(0))>>32)
			records := p.call("iterator_record_start", id, txn[0])
			for {
				rec, ok := p.call("iterator_record_next", records).(pickle.Tuple)
				if !ok {
					break
				}
				if tidIn(t, rec[1]) != tid {
					t.Errorf("a record of %v in %v", rec[1], tid)
				}
				line += fmt.Sprintf(" %d", tidIn(t, rec[0]))
				if rec[3] != nil {
					line += fmt.Sprintf("=%d", (tidIn(t, rec[3])-minute(0))>>32)
				}
				if rec[2] == nil {
					line += " none"
				}
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(ofTidsDown, got); diff != "" {
			t.Errorf("%s: %s", encoding, diff)
		}
	}
}

// Everything in the file can be loaded, that of a clock that was ahead, too.
func TestRevisionsAboveTheLastTransactionAreServed(t *testing.T) {
	s := tidsDown(t)
	p, last := s.register(t)
	if last != minute(25) {
		t.Errorf("registered at %v", last)
	}
	for oid, at := range map[zodb.Oid]int{0: 22, 1: 23, 2: 21, 3: 40, 5: 30, 6: 25} {
		if _, tid := p.current(oid); tid != minute(at) {
			t.Errorf("oid %d is of %v, want minute %d", oid, tid, at)
		}
		p.call("loadSerial", oidValue(oid), tidValue(minute(at)))
		if tid := tidIn(t, p.call("getTid", oidValue(oid))); tid != minute(at) {
			t.Errorf("getTid of oid %d: %v", oid, tid)
		}
	}
	entries := p.call("history", oidValue(1), int64(10)).(*pickle.List).Items
	if len(entries) != 4 {
		t.Errorf("a history of %d entries", len(entries))
	}
	if entries := p.call("undoLog", int64(0), int64(-20)).(*pickle.List).Items; len(entries) != 9 {
		t.Errorf("%d transactions can be undone", len(entries))
	}
	if tid := p.commit(7, 0, "data"); tid <= minute(25) {
		t.Errorf("the next tid is %v", tid)
	}
}

func TestUndoTakesTheTransactionThatItIsAskedFor(t *testing.T) {
	s := tidsDown(t)
	p, _ := s.register(t)
	for _, c := range []struct {
		minute int
		oid    zodb.Oid
	}{{30, 5}, {25, 6}, {22, 0}} {
		b := minute(c.minute).Bytes()
		p.tell("tpc_begin", handle, pickle.Bytes("u"), pickle.Bytes("d"), nil, nil, " ")
		p.tell("undoa", pickle.Bytes(base64.StdEncoding.EncodeToString(b[:])), handle)
		oids := p.call("vote", handle).(*pickle.List).Items
		if len(oids) != 1 || zodb.Oid(tidIn(t, oids[0])) != c.oid {
			t.Errorf("minute %d: undone is %v, want oid %d", c.minute, oids, c.oid)
		}
		p.call("tpc_finish", handle)
	}
}
