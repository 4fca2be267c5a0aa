package filestorage

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A builtFile is a Data.fs that a test builds, transaction by transaction.
type builtFile struct {
	bytes []byte
	x     *index
	last  zodb.Tid
	tids  []zodb.Tid
	at    []int64 // of the transactions
}

// A written is a record to build: data, or without any a back pointer.
type written struct {
	oid  zodb.Oid
	data []byte
	back int64
}

func newDataFile() *builtFile {
	return &builtFile{bytes: []byte("FS30"), x: newIndex()}
}

// add appends a transaction and returns the offsets of its records.
func (d *builtFile) add(tid zodb.Tid, status zodb.Status, records ...written) []int64 {
	pos := int64(len(d.bytes))
	h := txnHeader{Tid: tid, Status: status, ULen: 4}
	d.bytes = append(d.bytes, make([]byte, txnHeaderLen)...)
	d.bytes = append(d.bytes, "user"...)
	var offsets []int64
	for _, w := range records {
		at := int64(len(d.bytes))
		prev, _ := d.x.get(w.oid)
		r := recHeader{Oid: w.oid, Tid: tid, Prev: prev, Tloc: pos, PLen: uint64(len(w.data))}
		var b [recHeaderLen]byte
		r.encode(b[:])
		d.bytes = append(append(d.bytes, b[:]...), w.data...)
		if r.PLen == 0 {
			d.bytes = binary.BigEndian.AppendUint64(d.bytes, uint64(w.back))
		}
		offsets = append(offsets, at)
	}
	for i, at := range offsets {
		d.x.set(records[i].oid, at)
	}
	h.Length = uint64(int64(len(d.bytes)) - pos)
	h.encode(d.bytes[pos:])
	d.bytes = binary.BigEndian.AppendUint64(d.bytes, h.Length)
	d.last, d.tids, d.at = tid, append(d.tids, tid), append(d.at, pos)
	return offsets
}

// fill appends n transactions of one record each, to oids in turn, with tids two apart.
func (d *builtFile) fill(n, oids, size int) {
	data := make([]byte, size)
	for i := range n {
		d.add(d.last+2, zodb.StatusCommitted, written{oid: zodb.Oid(i % oids), data: data})
	}
}

// source writes the file and opens it, with its index as a hint.
func (d *builtFile) source(tb testing.TB) *source {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "Data.fs")
	if err := os.WriteFile(path, d.bytes, 0o666); err != nil {
		tb.Fatal(err)
	}
	src := fileSource(tb, path, int64(len(d.bytes)), d.last)
	src.index = func() *index { return d.x }
	return src
}

// storage writes the file and opens it for writing.
func (d *builtFile) storage(tb testing.TB) *Storage {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "Data.fs")
	if err := os.WriteFile(path, d.bytes, 0o666); err != nil {
		tb.Fatal(err)
	}
	return mustOpen(tb, path, Options{})
}

// A countedFile counts what is read of a file.
type countedFile struct {
	vfs.File
	reads, bytes atomic.Int64
}

func (f *countedFile) ReadAt(b []byte, pos int64) (int, error) {
	f.reads.Add(1)
	f.bytes.Add(int64(len(b)))
	return f.File.ReadAt(b, pos)
}

func (f *countedFile) reset() { f.reads.Store(0); f.bytes.Store(0) }

// counted makes src read through a counter.
func counted(src *source) *countedFile {
	f := &countedFile{File: src.file}
	src.file = f
	return f
}
