package filestorage

import (
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// A saved index is taken only if a transaction ends at its position and it agrees with the first records of the last
// one that has any. Whichever it is, the storage opens to the same state.
func TestAcceptIndex(t *testing.T) {
	build := func() *builtFile {
		d := newDataFile()
		d.fill(5, 3, 20)
		return d
	}
	size := func(d *builtFile) int64 { return int64(len(d.bytes)) }
	cases := []struct {
		name   string
		change func(d *builtFile)
		pos    func(d *builtFile) int64
		good   bool
	}{
		{"of the whole file", func(*builtFile) {}, size, true},
		{"of a shorter file", func(*builtFile) {}, func(d *builtFile) int64 {
			end := size(d)
			d.fill(2, 3, 20)
			return end
		}, false},
		{"of a longer file", func(*builtFile) {}, func(d *builtFile) int64 { return size(d) + 1 }, false},
		{"inside a transaction", func(*builtFile) {}, func(d *builtFile) int64 { return size(d) - 10 }, false},
		{"in front of the file", func(*builtFile) {}, func(*builtFile) int64 { return 3 }, false},
		{"near the start", func(*builtFile) {}, func(*builtFile) int64 { return 20 }, false},
		{"of nothing, with entries", func(*builtFile) {}, func(*builtFile) int64 { return magicLen }, false},
		{"wrong entry", func(d *builtFile) { d.x.set(1, d.at[0]+27) }, size, false},
		{"entry outside of the file", func(d *builtFile) { d.x.set(1, 1<<40) }, size, false},
		{"an oid twice in the last transaction", func(d *builtFile) {
			twice := []written{{oid: 1, data: []byte("a")}, {oid: 2, data: []byte("b")}, {oid: 1, data: []byte("c")}}
			d.add(100, ' ', twice...)
		}, size, true},
		{"last transaction empty", func(d *builtFile) { d.add(100, ' ') }, size, true},
		{"last transaction not finished", func(d *builtFile) {
			d.add(100, 'c', written{oid: 1, data: []byte("a")})
		}, size, false},
		{"entry of another object in the last transaction", func(d *builtFile) {
			d.x.set(1, d.add(100, ' ', a5(1), a5(2))[1])
		}, size, false},
		{"entry beside a record of the last transaction", func(d *builtFile) {
			d.x.set(1, d.add(100, ' ', a5(1))[0]+1)
		}, size, false},
		{"entry at the last transaction itself", func(d *builtFile) {
			d.add(100, ' ', a5(1))
			d.x.set(1, d.at[5])
		}, size, false},
		{"entry at the end of the last transaction", func(d *builtFile) {
			d.add(100, ' ', a5(1))
			d.x.set(1, size(d)-lengthLen)
		}, size, false},
		{"entry after the last transaction", func(d *builtFile) {
			d.add(100, ' ', a5(1))
			d.x.set(1, size(d))
		}, size, false},
		{"wrong entry of the second record", func(d *builtFile) {
			d.add(100, ' ', a5(1), a5(2))
			d.x.set(2, d.at[2]+27)
		}, size, false},
		{"last transaction undone", func(d *builtFile) {
			at, _ := d.x.get(1)
			d.add(100, 'u', a5(1))
			d.x.set(1, at)
		}, size, true},
		{"wrong entry before an empty transaction", func(d *builtFile) {
			d.x.set(1, d.at[0]+27)
			d.add(100, ' ')
		}, size, false},
		{"only empty transactions", func(d *builtFile) {
			*d = *newDataFile()
			d.add(100, ' ')
			d.add(101, ' ')
		}, size, true},
		{"only one, without anything", func(d *builtFile) {
			*d = *newDataFile()
			d.bytes, d.last = append(d.bytes, empty(100)...), 100
		}, size, true},
		{"of an empty file", func(d *builtFile) { *d = *newDataFile() }, size, true},
		{"in front of an empty file", func(d *builtFile) { *d = *newDataFile() },
			func(*builtFile) int64 { return 3 }, false},
		{"length wrong", func(d *builtFile) { d.bytes[d.at[4]+15]++ }, size, false},
		{"status unknown", func(d *builtFile) { d.bytes[d.at[4]+statusAt] = 'x' }, size, false},
		{"metadata without room", func(d *builtFile) { d.bytes[d.at[4]+19] = 0xff }, size, false},
		{"second length wrong", func(d *builtFile) { d.bytes[len(d.bytes)-1]++ }, size, false},
		{"second length too long", func(d *builtFile) { d.bytes[len(d.bytes)-8] = 1 }, size, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := build()
			c.change(d)
			pos := c.pos(d)
			src := d.source(t)
			scan := newScan(t.Context(), src.file, src.path, size(d))
			if err := scan.accept(d.x, pos); (err == nil) != c.good {
				t.Fatalf("accepted: %v", err)
			}
			if c.good && (scan.pos != pos || scan.last != d.last || scan.index != d.x) {
				t.Errorf("the scan begins at %d with last tid %v", scan.pos, scan.last)
			}
			if !c.good && (scan.pos != magicLen || scan.last != 0 || scan.index.len() != 0) {
				t.Errorf("a bad index left something: %d, %v", scan.pos, scan.last)
			}
		})
	}
}

// The file with only empty transactions, which ZODB cannot open again once it has an index.
func TestOpenEmptyTransactions(t *testing.T) {
	s := emptyStorage(t, Options{})
	for range 10 {
		mustFinish(t, mustBegin(t, s, &zodb.TxnMeta{Description: []byte("nothing to store")}))
	}
	again := reopen(t, s)
	if again.Size() != s.Size() || again.LastTid() != s.LastTid() || again.Len() != 0 {
		t.Errorf("end %d, last tid %v, %d objects", again.Size(), again.LastTid(), again.Len())
	}
	commit(t, again, 1, 0, "something")
}

// Transactions of status 'u' are written where they belong, count as absent for readers, and their tids are used up.
func TestUndoneTransaction(t *testing.T) {
	s := emptyStorage(t, Options{})
	first := commit(t, s, 1, 0, "seen")
	txn := mustBegin(t, s, &zodb.TxnMeta{Status: zodb.StatusUndone})
	mustStore(t, txn, 1, first, "not seen")
	mustStore(t, txn, 2, 0, "not seen")
	undone := mustFinish(t, txn)
	check := func(s *Storage) {
		if data, tid, err := s.Load(1); err != nil || tid != first || string(data) != "seen" {
			t.Errorf("%q of %v, %v", data, tid, err)
		}
		if s.LastTid() != undone || s.Len() != 1 {
			t.Errorf("last tid %v, %d objects", s.LastTid(), s.Len())
		}
		if list, err := s.LastInvalidations(9); err != nil || len(list) != 1 || list[0].Tid != first {
			t.Errorf("invalidations %v, %v", list, err)
		}
	}
	check(s)
	check(reopen(t, s))
}
