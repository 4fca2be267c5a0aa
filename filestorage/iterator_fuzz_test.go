package filestorage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// No bytes make an iterator crash, loop or read outside of the file.
func FuzzIterate(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(fixtures, "*/Data.fs"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 10_000 {
			f.Add(text, uint64(0x03f8658020000000))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, after uint64) {
		if len(text) < magicLen {
			return
		}
		x := newIndex()
		for i := range min(len(text), 5) {
			x.set(zodb.Oid(i), int64(text[i])+magicLen)
		}
		src := &source{
			commitPoint: newCommitPoint(int64(len(text)), 0), file: memFile{bytes.NewReader(text)}, path: "Data.fs",
			index: func() *index { return x }, release: func() error { return nil },
		}
		it := &iterator{txnReader: txnReader{src: src}, pos: magicLen}
		if n, err := readThrough(t.Context(), it); n > len(text) || err == nil && it.pos != int64(len(text)) {
			t.Errorf("%d transactions of %d bytes, ending at %d", n, len(text), it.pos)
		}
		pos, err := src.seek(t.Context(), zodb.Tid(after))
		if err == nil && (pos < magicLen || pos > int64(len(text))) {
			t.Errorf("seek came to %d", pos)
		}
	})
}

// A memFile is a file that can only be read.
type memFile struct{ *bytes.Reader }

func (memFile) Name() string                       { return "Data.fs" }
func (memFile) Close() error                       { return nil }
func (memFile) WriteAt([]byte, int64) (int, error) { return 0, os.ErrPermission }
func (memFile) Truncate(int64) error               { return os.ErrPermission }
func (memFile) Sync() error                        { return nil }
func (f memFile) Stat() (os.FileInfo, error)       { return nil, os.ErrPermission }

// Any 42 bytes decode to a header that encodes to them again.
func FuzzRecHeader(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, recHeaderLen))
	f.Add(make([]byte, recHeaderLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != recHeaderLen {
			return
		}
		var h recHeader
		h.decode(b)
		var again [recHeaderLen]byte
		if h.encode(again[:]); !bytes.Equal(again[:], b) {
			t.Errorf("%x came back as %x", b, again)
		}
	})
}

func BenchmarkIterateSmall(b *testing.B) {
	d := newDataFile()
	d.fill(200_000, 100_000, 200)
	src := d.source(b)
	b.SetBytes(int64(len(d.bytes)))
	for b.Loop() {
		it := &iterator{txnReader: txnReader{src: src}, pos: magicLen}
		for {
			txn, err := it.Next(context.Background())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if _, err := txn.NextRecord(); err != nil {
				b.Fatal(err)
			}
			if _, err := txn.NextRecord(); !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(d.tids)*b.N)/b.Elapsed().Seconds(), "txn/s")
}
