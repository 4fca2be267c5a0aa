package filestorage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Damage that an iterator comes across is a typed error that names file and offset; what stands before it is yielded.
func TestIterateDamage(t *testing.T) {
	build := func() (*builtFile, []int64) {
		d := newDataFile()
		d.fill(3, 2, 100)
		offsets := d.add(100, zodb.StatusCommitted,
			written{oid: 1, data: []byte("one")}, written{oid: 0, back: d.at[2] + 27})
		d.fill(2, 2, 50)
		return d, offsets
	}
	put := func(at int64, n uint64) func(*builtFile) {
		return func(d *builtFile) { binary.BigEndian.PutUint64(d.bytes[at:], n) }
	}
	d, rec := build()
	pos := d.at[3]
	cases := []struct {
		name   string
		damage func(*builtFile)
		at     int64
	}{
		{"status that does not exist", func(d *builtFile) { d.bytes[pos+16] = 'x' }, pos + 16},
		{"status c inside", func(d *builtFile) { d.bytes[pos+16] = 'c' }, pos + 16},
		{"length beyond the end", put(pos+8, 1<<40), pos + 8},
		{"length that wraps", put(pos+8, 1<<64-8), pos + 8},
		{"length below the header", put(pos+8, 26), pos + 8},
		{"other second length", put(d.at[4]-8, 7), d.at[4] - 8},
		{"other place of the transaction", put(rec[0]+24, 4), rec[0] + 24},
		{"data beyond the transaction", put(rec[0]+34, 200), rec[0] + 34},
		{"data length that wraps", put(rec[0]+34, 1<<64-42), rec[0] + 34},
		{"records that end too early", put(rec[1]+34, 1), rec[1] + 43},
		{"pointer to itself", put(rec[1]+42, uint64(rec[1])), rec[1] + 42},
		{"pointer forwards", put(rec[1]+42, uint64(d.at[4]+27)), rec[1] + 42},
		{"pointer before the file", put(rec[1]+42, 1), rec[1] + 42},
		{"negative pointer", put(rec[1]+42, 1<<63+4), rec[1] + 42},
		{"pointer to another oid", put(rec[1]+42, uint64(d.at[1]+27)), d.at[1] + 27},
		{"pointer to data too long", put(d.at[2]+27+34, 1<<50), d.at[2] + 27 + 34},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, _ := build()
			c.damage(d)
			src := d.source(t)
			it := &iterator{txnReader: txnReader{src: src}, pos: magicLen}
			n, err := readThrough(t.Context(), it)
			var corrupt *zodb.CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("err = %v after %d transactions", err, n)
			}
			if corrupt.Pos != c.at || corrupt.File != src.path {
				t.Errorf("%v; want offset %d", err, c.at)
			}
			if n != 2 && n != 3 {
				t.Errorf("%d transactions before the damage", n)
			}
		})
	}
}

// A record of a ZODB 3 version is refused by name.
func TestIterateVersions(t *testing.T) {
	d := newDataFile()
	rec := d.add(1, zodb.StatusCommitted, written{oid: 1, data: []byte("data")})
	d.bytes[rec[0]+33] = 1
	it := &iterator{txnReader: txnReader{src: d.source(t)}, pos: magicLen}
	if _, err := readThrough(t.Context(), it); !errors.Is(err, ErrVersions) {
		t.Errorf("err = %v", err)
	}
}

// readThrough reads everything that the iterator yields and returns the number of whole transactions.
func readThrough(ctx context.Context, it zodb.Iterator) (n int, err error) {
	for {
		txn, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if _, err := zodb.DigestOf(txn); err != nil {
			return n, err
		}
		n++
	}
}

// Records and transactions of any size, around every limit of the window, come out whole.
func TestIterateSizes(t *testing.T) {
	d := newDataFile()
	sizes := []int{
		1, smallData - 1, smallData, smallData + 1, smallTxn,
		windowLen - 100, windowLen, windowLen + 1, 3 * windowLen,
	}
	var records []written
	for i, size := range sizes {
		records = append(records, written{oid: zodb.Oid(i), data: bytes.Repeat([]byte{byte(i + 1)}, size)})
		d.add(d.last+1, zodb.StatusCommitted, records[i])
	}
	d.add(d.last+1, zodb.StatusCommitted, records...)
	it, err := iterate(d.source(t), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(sizes) + 1 {
		txn, err := it.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := records
		if i < len(sizes) {
			want = records[i : i+1]
		}
		for _, w := range want {
			rec, err := txn.NextRecord()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(rec.Data)
			if err != nil || !bytes.Equal(got, w.data) || rec.Size != int64(len(w.data)) {
				t.Fatalf("record of %d bytes: got %d, %v", len(w.data), len(got), err)
			}
		}
	}
}

// What a consumer does not read is skipped: records, data, blobs.
func TestIterateSkipsWhatIsNotRead(t *testing.T) {
	d := newDataFile()
	for range 50 {
		d.add(d.last+1, zodb.StatusCommitted,
			written{oid: 1, data: make([]byte, 3000)}, written{oid: 2, data: make([]byte, 2*windowLen)})
	}
	it, err := iterate(d.source(t), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.tids {
		txn, err := it.Next(t.Context())
		if err != nil || txn.Meta().Tid != d.tids[i] {
			t.Fatalf("transaction %d: %v", i, err)
		}
		for range i % 3 {
			if rec, err := txn.NextRecord(); err != nil || rec.Data == nil {
				t.Fatal(err)
			}
		}
	}
}

// A follower yields each transaction as soon as it is committed, and nothing that is not.
func TestIterateFollows(t *testing.T) {
	const n = 300
	d := newDataFile()
	d.fill(n, 10, 100)
	src := d.source(t)
	src.commitPoint = newCommitPoint(magicLen, 0)
	it, err := iterate(src, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	if it.Pending() {
		t.Error("something is pending in an empty storage")
	}
	go func() {
		for i := range n - 1 {
			src.advance(d.at[i+1], d.tids[i])
		}
	}()
	for i := range n - 1 {
		txn, err := it.Next(t.Context())
		if err != nil || txn.Meta().Tid != d.tids[i] {
			t.Fatalf("transaction %d: %v", i, err)
		}
	}
	if it.Pending() || it.Position() != d.at[n-1] {
		t.Errorf("position %d, pending %v after what is committed", it.Position(), it.Pending())
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := it.Next(ctx); !errors.Is(err, cause) {
		t.Errorf("after cancel: %v", err)
	}
	src.advance(int64(len(d.bytes)), d.last)
	if _, err := it.Next(ctx); !errors.Is(err, cause) {
		t.Errorf("after cancel, with more committed: %v", err)
	}
	if txn, err := it.Next(t.Context()); err != nil || txn.Meta().Tid != d.last {
		t.Errorf("with another context: %v", err)
	}
}

// Closing the storage ends the wait of a follower, and so does it end one that is reading.
func TestIterateEndsWithTheStorage(t *testing.T) {
	d := newDataFile()
	d.fill(5, 1, 10)
	src := d.source(t)
	it, err := iterate(src, d.last, true)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := it.Next(t.Context())
		done <- err
	}()
	src.close(zodb.ErrClosed)
	if err := <-done; !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("the waiting one got %v", err)
	}
	src.file.Close()
	reading := &iterator{txnReader: txnReader{src: src}, pos: magicLen}
	if _, err := reading.Next(t.Context()); !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("the reading one got %v", err)
	}
}

// After Close an iterator is closed; closing it again is nothing.
func TestIteratorClose(t *testing.T) {
	src := newDataFile().source(t)
	released := 0
	src.release = func() error { released++; return nil }
	it, err := iterate(src, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(it.Close(), it.Close()); err != nil || released != 1 {
		t.Errorf("%v, released %d times", err, released)
	}
	if _, err := it.Next(t.Context()); !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}

var blobPickle = []byte("\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N.")

// The file of a blob is open as long as its record is valid, and no longer; other errors than its absence are told.
func TestIterateBlobs(t *testing.T) {
	dir := t.TempDir()
	d := newDataFile()
	d.add(1, ' ',
		written{oid: 1, data: blobPickle}, written{oid: 2, data: blobPickle}, written{oid: 3, data: []byte("no blob")})
	d.add(2, ' ', written{oid: 1, data: blobPickle})
	d.add(3, ' ', written{oid: 4, data: blobPickle})
	src := d.source(t)
	var files []*closeNoted
	broken := errors.New("disk on fire")
	src.openBlob = func(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
		switch oid {
		case 2:
			return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
		case 4:
			return nil, broken
		}
		path := filepath.Join(dir, fmt.Sprint(oid, tid))
		if err := os.WriteFile(path, []byte("content"), 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := vfs.OS{}.OpenFile(path, os.O_RDONLY, 0)
		files = append(files, &closeNoted{File: f})
		return files[len(files)-1], err
	}
	it, err := iterate(src, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	txn, _ := it.Next(t.Context())
	for _, want := range []bool{true, false, false} {
		rec, err := txn.NextRecord()
		if err != nil || (rec.Blob != nil) != want {
			t.Fatalf("oid %v: blob %v, %v", rec.Oid, rec.Blob, err)
		}
	}
	txn, _ = it.Next(t.Context())
	if rec, err := txn.NextRecord(); err != nil || rec.BlobSize != 7 {
		t.Fatal(err)
	}
	if len(files) != 2 || !files[0].closed || files[1].closed {
		t.Fatalf("blob files: %v", files)
	}
	txn, _ = it.Next(t.Context())
	if !files[1].closed {
		t.Error("the blob of the record before is still open")
	}
	if _, err := txn.NextRecord(); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
}

type closeNoted struct {
	vfs.File
	closed bool
}

func (f *closeNoted) Close() error { f.closed = true; return f.File.Close() }

// Reading many small transactions allocates nothing for each of them.
func TestIterateAllocations(t *testing.T) {
	d := newDataFile()
	d.fill(5000, 10, 200)
	src := d.source(t)
	it := &iterator{txnReader: txnReader{src: src}}
	n := testing.AllocsPerRun(5, func() {
		it.pos = magicLen
		for {
			txn, err := it.Next(context.Background())
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := txn.NextRecord(); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > 20 {
		t.Errorf("%v allocations for %d transactions", n, len(d.tids))
	}
}
