package filestorage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A transaction whose length is wrong is a tail only where nothing shows that it was complete: then data are lost by
// cutting there, and an error says where the damage is.
func TestADamagedLengthIsNoTornTail(t *testing.T) {
	long := func(d *builtFile) { binary.BigEndian.PutUint64(d.bytes[d.at[3]+8:], 1<<40) }
	for _, c := range []struct {
		name  string
		build func(*builtFile)
		torn  bool // else it is damage
	}{
		{"the last one, whole", func(d *builtFile) { long(d) }, false},
		{"before a whole one", func(d *builtFile) { d.add(20, ' ', a5(1)); long(d) }, false},
		{"before a whole one and a torn one", func(d *builtFile) {
			d.add(20, ' ', a5(1))
			d.add(21, ' ', a5(1))
			d.bytes = d.bytes[:len(d.bytes)-3]
			long(d)
		}, false},
		{"before the header of another one", func(d *builtFile) {
			d.add(20, ' ', a5(1))
			d.bytes = d.bytes[:d.at[4]+txnHeaderLen]
			long(d)
		}, false},
		{"before less than a header", func(d *builtFile) {
			d.add(20, ' ', a5(1))
			d.bytes = d.bytes[:d.at[4]+txnHeaderLen-1]
			long(d)
		}, true},
		{"before what has a lower tid", func(d *builtFile) {
			d.add(1, ' ', a5(1))
			d.bytes = d.bytes[:len(d.bytes)-3]
			long(d)
		}, true},
		{"before what has the same tid", func(d *builtFile) {
			d.add(d.last, ' ', a5(1))
			d.bytes = d.bytes[:len(d.bytes)-3]
			long(d)
		}, true},
		{"before what has no status", func(d *builtFile) {
			d.add(20, 'x', a5(1))
			d.bytes = d.bytes[:len(d.bytes)-3]
			long(d)
		}, true},
		{"without its end", func(d *builtFile) { long(d); d.bytes = d.bytes[:len(d.bytes)-1] }, true},
		{"with a wrong second length", func(d *builtFile) { long(d); d.bytes[len(d.bytes)-1]++ }, true},
		{"with a version, without its end", func(d *builtFile) {
			long(d)
			at := d.at[3] + txnHeaderLen + 4
			binary.BigEndian.PutUint16(d.bytes[at+32:], 3)
			d.bytes = d.bytes[:len(d.bytes)-1]
		}, true},
		{"the same length, torn", func(d *builtFile) { d.bytes = d.bytes[:len(d.bytes)-1] }, true},
		{"its second length only is missing", func(d *builtFile) { d.bytes = d.bytes[:len(d.bytes)-lengthLen] }, true},
		{"before one that a tid of the past ends", func(d *builtFile) {
			d.add(d.tids[2], ' ', a5(1)) // not above the last good one
			long(d)
			d.bytes[d.at[4]-1]++ // so that only the way back from the end remains
		}, true},
		{"before two of which the second has a lower tid", func(d *builtFile) {
			d.add(30, ' ', a5(1))
			d.add(20, ' ', a5(1))
			long(d)
		}, false},
		{"before bytes that look like an end", func(d *builtFile) {
			long(d)
			d.bytes = append(d.bytes[:len(d.bytes)-lengthLen], bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 40}, 20)...)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDataFile()
			d.fill(4, 3, 10)
			at := d.at[3]
			c.build(d)
			got := openVerdict(t, d.bytes, Options{})
			want := verdict{Pos: at + 8}
			if c.torn {
				want = verdict{End: at, Last: d.tids[2], Kept: string(d.bytes[at:])}
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// A transaction that says it is unfinished begins the tail unless more follow than can have been on their way to the
// disk, found from its end or, where that is torn, from here: the largest does not count.
func TestAnUnfinishedTransactionBeforeManyIsDamage(t *testing.T) {
	const most = tailLimit >> 20
	for _, c := range []struct {
		name   string
		follow []int64 // MiB of data; 0: it is empty
		torn   bool    // the last one is
		lower  bool    // the last one has a lower tid than the others
		wrong  int     // this one has a wrong second length, -1: none
		damage bool
	}{
		{"as many as may be", []int64{most / 2, most/2 - 1}, false, false, -1, false},
		{"the largest does not count", []int64{4 * most, most / 2, most/2 - 1}, false, false, -1, false},
		{"more than may be", []int64{most / 2, most, most / 2}, false, false, -1, true},
		{"of which the last one is of another order", []int64{most / 2, most, most / 2}, false, true, -1, true},
		{"more than may be, and a torn one", []int64{most / 2, most, most / 2, 1}, true, false, -1, true},
		{"the first is empty, the last one torn", []int64{0, most / 2, most, most / 2, 1}, true, false, -1, true},
		{"few, and many after a gap", []int64{1, 1, most / 2, most, most / 2}, false, false, 1, true},
		{"many, and few after a gap", []int64{most / 2, most, most / 2, 1, 1}, false, false, 4, true},
		{"a gap in the middle", []int64{most / 2, most / 3, 1, most / 3, most / 2}, false, false, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "Data.fs")
			f, err := vfs.OrOS(nil).OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			good := hollow(t, f, magicLen, 1, ' ', 10)
			end := hollow(t, f, good, 2, 'c', 10)
			for i, mib := range c.follow {
				tid := zodb.Tid(3 + i)
				if c.lower && i == len(c.follow)-1 {
					tid = 2
				}
				if mib == 0 {
					n, err := f.WriteAt(empty(tid), end)
					if err != nil {
						t.Fatal(err)
					}
					end += int64(n)
				} else {
					end = hollow(t, f, end, tid, ' ', mib<<20)
				}
				if i == c.wrong {
					if _, err := f.WriteAt([]byte{0xff}, end-1); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.torn {
				end--
			}
			scan := newScan(t.Context(), f, path, end)
			err = scan.run()
			var corrupt *zodb.CorruptError
			switch {
			case c.damage && (!errors.As(err, &corrupt) || corrupt.Pos != good+statusAt):
				t.Errorf("got %v at %d, want an error", err, scan.pos)
			case !c.damage && (err != nil || scan.pos != good || scan.last != 1):
				t.Errorf("ends at %d with %v, %v", scan.pos, scan.last, err)
			}
		})
	}
}

// A record that ends after its transaction, or that has no room for the pointer that it should have, is damage.
func TestARecordThatDoesNotFitIsDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(d *builtFile, rec int64)
		at     int64 // of the error in the record; -1: good
	}{
		{"a pointer", func(d *builtFile, rec int64) {}, -1},
		{"no room for a pointer", func(d *builtFile, rec int64) {
			d.bytes = d.bytes[:rec+recHeaderLen]
			length := uint64(rec + recHeaderLen - d.at[3])
			binary.BigEndian.PutUint64(d.bytes[d.at[3]+8:], length)
			d.bytes = binary.BigEndian.AppendUint64(d.bytes, length)
		}, 34},
		{"half a record", func(d *builtFile, rec int64) {
			d.bytes = d.bytes[:rec+recHeaderLen-1]
			length := uint64(rec + recHeaderLen - 1 - d.at[3])
			binary.BigEndian.PutUint64(d.bytes[d.at[3]+8:], length)
			d.bytes = binary.BigEndian.AppendUint64(d.bytes, length)
		}, 0},
		{"one byte more than there are", func(d *builtFile, rec int64) {
			binary.BigEndian.PutUint64(d.bytes[rec+34:], backLen+1)
		}, 34},
		{"as many bytes as there are", func(d *builtFile, rec int64) {
			binary.BigEndian.PutUint64(d.bytes[rec+34:], backLen)
		}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDataFile()
			d.fill(3, 3, 10)
			rec := d.add(20, ' ', written{oid: 1})[0]
			c.change(d, rec)
			want := verdict{Pos: rec + c.at}
			if c.at < 0 {
				want = verdict{End: int64(len(d.bytes)), Last: 20}
			}
			if got := openVerdict(t, d.bytes, Options{}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// A part of the file that was never written begins the tail, whatever the tid: a status is never zero.
func TestOnlyAHeaderWithoutStatusAndLengthsIsUnwritten(t *testing.T) {
	for from := range txnHeaderLen {
		d := newDataFile()
		d.fill(3, 3, 10)
		d.add(20, ' ', a5(1))
		clear(d.bytes[d.at[3]+int64(from) : d.at[3]+txnHeaderLen])
		got := openVerdict(t, d.bytes, Options{})
		if isTail := got.End == d.at[3]; isTail != (from <= statusAt) {
			t.Errorf("zeros from byte %d of the header on: %+v", from, got)
		}
	}
	for to := 1; to < txnHeaderLen; to++ {
		d := newDataFile()
		d.fill(3, 3, 10)
		d.add(20, ' ', a5(1))
		header := d.bytes[d.at[3] : d.at[3]+txnHeaderLen]
		header[txnHeaderLen-1] = 1 // some metadata
		clear(header[:to])
		got := openVerdict(t, d.bytes, Options{})
		if isTail := got.End == d.at[3]; isTail != (to > statusAt) {
			t.Errorf("zeros up to byte %d of the header: %+v", to, got)
		}
	}
}

// A whole transaction after one whose length and records are damaged, or the end of that itself, shows that it was
// complete. What only looks like one, in the data of a torn transaction, does not.
func TestWhatFollowsADamagedTransactionShowsThatItWasWhole(t *testing.T) {
	const size = 64
	for _, c := range []struct {
		name   string
		h      txnHeader // of what seems to be a transaction, at the end of the file
		length uint64    // after it
		torn   bool
	}{
		{"a whole one", txnHeader{Tid: 30, Length: size, Status: ' '}, size, false},
		{"a packed one", txnHeader{Tid: 30, Length: size, Status: 'p'}, size, false},
		{"one of metadata only", txnHeader{Tid: 30, Length: size, Status: ' ', ULen: size - txnHeaderLen}, size, false},
		{"an empty one", txnHeader{Tid: 30, Length: txnHeaderLen, Status: ' '}, txnHeaderLen, false},
		{"less than a header", txnHeader{Tid: 30, Length: txnHeaderLen - 1, Status: ' '}, txnHeaderLen - 1, true},
		{"another length", txnHeader{Tid: 30, Length: size + 1, Status: ' '}, size, true},
		{"more metadata than it has room for", txnHeader{Tid: 30, Length: size, Status: ' ', DLen: size}, size, true},
		{"no status", txnHeader{Tid: 30, Length: size, Status: 'x'}, size, true},
		{"a tid of the past", txnHeader{Tid: 3, Length: size, Status: ' '}, size, true},
		{"the last tid", txnHeader{Tid: 6, Length: size, Status: ' '}, size, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDataFile()
			d.fill(4, 3, 1000)
			at := d.at[3]
			binary.BigEndian.PutUint64(d.bytes[at+8:], 1<<40)
			clear(d.bytes[at+txnHeaderLen+4:]) // its records and its second length
			seems := make([]byte, max(c.length, txnHeaderLen))
			c.h.encode(seems)
			d.bytes = binary.BigEndian.AppendUint64(append(d.bytes, seems[:c.length]...), c.length)
			got := openVerdict(t, d.bytes, Options{})
			want := verdict{Pos: at + 8}
			if c.torn {
				want = verdict{End: at, Last: 6, Kept: string(d.bytes[at:])}
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	d := newDataFile()
	d.fill(4, 3, 1000)
	at := d.at[3]
	binary.BigEndian.PutUint64(d.bytes[at+8:], 1<<40)
	clear(d.bytes[at+txnHeaderLen+4 : len(d.bytes)-lengthLen])
	if got := openVerdict(t, d.bytes, Options{}); got != (verdict{Pos: at + 8}) {
		t.Errorf("its own second length at the end: got %+v", got)
	}
	d = newDataFile()
	d.fill(3, 3, 10)
	at = int64(len(d.bytes))
	d.bytes = append(d.bytes, empty(20)...)
	d.bytes[at+8], d.bytes[at+18] = 1, 5 // its length, and that of the user
	if got := openVerdict(t, d.bytes, Options{}); got != (verdict{Pos: at + 8}) {
		t.Errorf("that of an empty one: got %+v", got)
	}
}

// empty is a transaction without anything.
func empty(tid zodb.Tid) []byte {
	h := txnHeader{Tid: tid, Status: ' ', Length: txnHeaderLen}
	var b [txnHeaderLen]byte
	h.encode(b[:])
	return binary.BigEndian.AppendUint64(b[:], txnHeaderLen)
}
