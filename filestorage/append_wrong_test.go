package filestorage

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A failer is a test, or one round of a property.
type failer interface {
	Context() context.Context
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// inMemory opens a storage with this Data.fs on a simulated disk.
func inMemory(t failer, data []byte) *Storage {
	t.Helper()
	disk := simdisk.New()
	f, err := disk.OpenFile("Data.fs", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(data, 0)
	if err = errors.Join(err, f.Sync(), f.Close(), disk.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), "Data.fs", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// appendPieces gives an append the rest of data in pieces of the lengths that next returns, in groups of a few
// transactions.
func appendPieces(t failer, s *Storage, data []byte, next func() int) error {
	t.Helper()
	a, err := s.Append(t.Context(), AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.most = groupSize{3000, 3, 1, togetherFrom}
	for rest := data[a.Pos():]; len(rest) > 0 && err == nil; {
		p := rest[:min(next(), len(rest))]
		err, rest = a.Write(t.Context(), p), rest[len(p):]
	}
	return errors.Join(err, a.Close(t.Context()))
}

// checkAppended checks what an append of sent may leave whatever sent is: the beginning of it up to the end of a
// transaction, in which all that a reader may ask for can be read; and an error, if any, that says what is wrong there.
func checkAppended(t failer, s *Storage, sent []byte, err error) {
	t.Helper()
	if wrong := (*NotIdenticalError)(nil); err != nil && (!errors.As(err, &wrong) || s.stopped() != nil) {
		t.Fatalf("the error is %v; the storage: %v", err, s.stopped())
	} else if err != nil && (wrong.Pos < s.Size()-recHeaderLen || wrong.What == "" || wrong.Path != s.path) {
		t.Fatalf("the error of an append to %d is %+v", s.Size(), wrong)
	}
	failed := err
	info, err := s.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, info.Size())
	if err := readFull(s.file, got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent[:s.Size()]) {
		t.Fatalf("the file has %d bytes, %d are committed, and they are not what was sent; the append: %v",
			len(got), s.Size(), failed)
	}
	c := newScan(t.Context(), s.file, s.path, s.Size())
	if err := c.run(); err != nil || c.pos != s.Size() || c.last != s.LastTid() || c.index.len() != s.Len() {
		t.Fatalf("a scan ends at %d of %d: %v", c.pos, s.Size(), err)
	}
	it, err := s.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	if _, err := readThrough(t.Context(), it.(*iterator)); err != nil {
		t.Fatalf("read through what was appended: %v", err)
	}
	absent := (*zodb.POSKeyError)(nil)
	for oid, pos := range s.index.all() {
		if at, ok := c.index.get(oid); !ok || at != pos {
			t.Fatalf("oid %v is at %d, a scan found it at %d", oid, pos, at)
		}
		if _, _, err := s.Load(oid); err != nil && !errors.As(err, &absent) {
			t.Fatalf("load oid %v: %v", oid, err)
		}
		if _, err := s.History(oid, math.MaxInt); err != nil {
			t.Fatalf("history of oid %v: %v", oid, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// allKinds is a file with every kind of transaction and record, and where its second half begins.
func allKinds() (d *builtFile, half int) {
	d = newDataFile()
	d.add(10, zodb.StatusPacked, written{oid: 1, data: []byte("one")}, written{oid: 2, data: []byte("two")})
	d.x = newIndex() // a pack links no records
	first := d.add(20, zodb.StatusPacked, written{oid: 1, data: []byte("uno")}, written{oid: 3, data: []byte("tre")})
	d.add(30, zodb.StatusCommitted, written{oid: 1, data: []byte("eins")})
	half = len(d.bytes)
	d.add(40, zodb.StatusCommitted, written{oid: 1, back: first[0]}, written{oid: 4, data: []byte("new")})
	d.add(50, zodb.StatusCommitted) // empty
	d.add(60, zodb.StatusCommitted, written{oid: 4, data: []byte("a")}, written{oid: 4, data: []byte("b")})
	undone := d.add(70, zodb.StatusUndone, written{oid: 3, data: []byte("undone")}, written{oid: 9, data: []byte("9")})
	d.add(80, zodb.StatusUndone, written{oid: 3, data: []byte("undone, too")})
	d.add(90, zodb.StatusCommitted, written{oid: 3, data: []byte("after undone")}, written{oid: 4})
	d.add(65, zodb.StatusCommitted, written{oid: 3, back: undone[0]}, written{oid: 1, data: make([]byte, 100)})
	d.add(100, zodb.StatusPacked, written{oid: 1, back: first[0]})
	return d, half
}

// Each kind of wrong byte anywhere in what is appended is refused, or stands where nothing but its owner says what is
// right, as in data: then it is there as it was sent, and everything can be read.
func TestAppendOfAnyWrongByte(t *testing.T) {
	d, half := allKinds()
	refused, taken := 0, 0
	for at := half; at < len(d.bytes); at++ {
		sent := bytes.Clone(d.bytes)
		sent[at] ^= [...]byte{1, 0x80, 0x55, 0xff}[at%4]
		s := inMemory(t, sent[:half])
		err := appendPieces(t, s, sent, func() int { return 64 })
		if err != nil {
			refused++
		} else {
			taken++
		}
		checkAppended(t, s, sent, err)
	}
	if refused < taken || taken == 0 {
		t.Errorf("%d were refused, %d taken", refused, taken)
	}
}

// What is wrong is named: where, in which transaction and record, and how.
func TestAppendSaysWhatIsWrong(t *testing.T) {
	d, half := allKinds()
	txn := int64(half)             // of tid 40
	rec := txn + txnHeaderLen + 4  // oid 1, a back pointer
	next := rec + recHeaderLen + 8 // oid 4
	second := d.at[4] - lengthLen
	for _, c := range []struct {
		name  string
		at    int64
		bytes string
		pos   int64
		oid   zodb.Oid
		what  string
	}{
		{"tid of the one before", txn, "\x00\x00\x00\x00\x00\x00\x00\x1e", txn, 0, "tid"},
		{"no tid", txn, "\x00\x00\x00\x00\x00\x00\x00\x00", txn, 0, "tid"},
		{"length too large", txn + 8, "\x7f", txn + 8, 0, "length"},
		{"length negative", txn + 8, "\xff", txn + 8, 0, "length"},
		{"length too small", txn + 8, "\x00\x00\x00\x00\x00\x00\x00\x05", txn + 8, 0, "length"},
		{"length without room", txn + 8, "\x00\x00\x00\x00\x00\x00\x00\x40", rec, 0, "too few"},
		{"unfinished", txn + statusAt, "c", txn + statusAt, 0, "status"},
		{"unknown status", txn + statusAt, "x", txn + statusAt, 0, "status"},
		{"prev", rec + 23, "\x01", rec, 1, "record before"},
		{"prev of another oid", next + 16, "\x00\x00\x00\x00\x00\x00\x00\x1f", next, 4, "record before"},
		{"prev outside", next + 16, "\xff", next, 4, "record before"},
		{"tloc", rec + 24, "\x01", rec + 24, 1, "its transaction"},
		{"version", rec + 32, "\x01", rec + 32, 1, "version"},
		{"data too long", next + 34, "\x01", next + 34, 4, "bytes of data"},
		{"back pointer", rec + recHeaderLen, "\x00\x00\x00\x00\x00\x00\x00\x05", rec, 1, "back pointer"},
		{"back pointer to itself", rec + recHeaderLen, "\x00\x00\x00\x00\x00\x00" + string([]byte{byte(rec >> 8), byte(rec)}),
			rec, 1, "back pointer"},
		{"second length", second, "\x01", second, 0, "after a transaction"},
	} {
		sent := bytes.Clone(d.bytes)
		copy(sent[c.at:], c.bytes)
		s := inMemory(t, sent[:half])
		err := appendPieces(t, s, sent, func() int { return len(sent) })
		wrong := (*NotIdenticalError)(nil)
		said := errors.As(err, &wrong) && strings.Contains(err.Error(), c.what)
		if !said || wrong.Pos != c.pos || wrong.Oid != c.oid {
			t.Errorf("%s: %v; want something about %q at %d, oid %v", c.name, err, c.what, c.pos, c.oid)
		}
		if s.Size() != int64(half) {
			t.Errorf("%s: committed up to %d, want %d", c.name, s.Size(), half)
		}
		checkAppended(t, s, sent, err)
	}
}

// A tid that is not to be believed ends the append before anything of its transaction counts.
func TestAppendChecksTids(t *testing.T) {
	d, half := allKinds()
	s := inMemory(t, d.bytes[:half])
	unfit := errors.New("unfit")
	a := mustAppend(t, s, AppendOptions{Check: func(tid zodb.Tid) error {
		if tid == 60 {
			return unfit
		}
		return nil
	}})
	a.most.txns = 1
	if err := errors.Join(a.Write(t.Context(), d.bytes[half:]), a.Close(t.Context())); !errors.Is(err, unfit) {
		t.Errorf("the error is %v", err)
	}
	if s.LastTid() != 50 || a.Last() != 50 || a.Pos() != s.Size() {
		t.Errorf("the last transaction is %v, of the append %v", s.LastTid(), a.Last())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Whatever a file has, and however its bytes are divided, the copy is the same.
func TestAppendOfAnyPieces(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d, from := anyFile(r)
		s := inMemory(r, d.bytes[:from])
		piece := rapid.IntRange(1, rapid.SampledFrom([]int{1, 30, 100, 5000}).Draw(r, "pieces up to"))
		if err := appendPieces(r, s, d.bytes, func() int { return piece.Draw(r, "piece") }); err != nil {
			r.Fatal(err)
		}
		if s.Size() != int64(len(d.bytes)) || s.LastTid() != d.last {
			r.Fatalf("%d of %d bytes are there", s.Size(), len(d.bytes))
		}
		checkAppended(r, s, d.bytes, nil)
	})
}

// anyFile makes a file of transactions of any kind, and returns where one of them begins.
func anyFile(r *rapid.T) (*builtFile, int) {
	d := newDataFile()
	places := map[zodb.Oid][]int64{}
	starts := []int{magicLen}
	for range rapid.IntRange(1, 12).Draw(r, "transactions") {
		var records []written
		for range rapid.IntRange(0, 4).Draw(r, "records") {
			w := written{oid: rapid.SampledFrom([]zodb.Oid{0, 1, 2, 300, 1 << 40}).Draw(r, "oid")}
			if old := places[w.oid]; len(old) > 0 && rapid.Bool().Draw(r, "points back") {
				w.back = rapid.SampledFrom(old).Draw(r, "back")
			} else if rapid.IntRange(0, 5).Draw(r, "has data") > 0 {
				w.data = make([]byte, rapid.SampledFrom([]int{1, 8, 60, 4000}).Draw(r, "size"))
			}
			records = append(records, w)
		}
		tid := rapid.Uint64Range(1, 1000).Filter(func(n uint64) bool { return zodb.Tid(n) != d.last }).Draw(r, "tid")
		status := rapid.SampledFrom([]zodb.Status{' ', ' ', 'p', 'u'}).Draw(r, "status")
		for i, at := range d.add(zodb.Tid(tid), status, records...) {
			places[records[i].oid] = append(places[records[i].oid], at)
		}
		starts = append(starts, len(d.bytes))
	}
	return d, rapid.SampledFrom(starts).Draw(r, "begin at")
}

// Whatever bytes are appended, nobody is harmed: see checkAppended.
func FuzzAppend(f *testing.F) {
	d, half := allKinds()
	f.Add(d.bytes, uint16(half), uint16(100))
	files, _ := filepath.Glob(filepath.Join(fixtures, "*/Data.fs"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 4000 {
			f.Add(text, uint16(magicLen), uint16(1000))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, from, piece uint16) {
		if len(text) < magicLen || !zodb.Magic(text).Known() {
			return
		}
		s := inMemory(t, text[:magicLen])
		err := appendPieces(t, s, text[:max(min(int(from), len(text)), magicLen)], func() int { return 1 << 20 })
		if err == nil {
			err = appendPieces(t, s, text, func() int { return int(piece) + 1 })
		}
		checkAppended(t, s, text, err)
	})
}
