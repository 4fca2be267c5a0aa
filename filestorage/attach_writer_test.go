package filestorage

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// A pythonWriter does to a Data.fs what a Python process does, write by write.
type pythonWriter struct {
	t    *testing.T
	path string
	file *os.File
	d    *builtFile // what is finished
	next []byte     // the transaction in progress
}

func newPythonWriter(t *testing.T, transactions int) *pythonWriter {
	t.Helper()
	w := &pythonWriter{t: t, path: filepath.Join(t.TempDir(), "Data.fs"), d: newDataFile()}
	w.d.fill(transactions, 5, 30)
	w.check(os.WriteFile(w.path, w.d.bytes, 0o666))
	w.open()
	return w
}

func (w *pythonWriter) open() {
	var err error
	w.file, err = os.OpenFile(w.path, os.O_RDWR, 0)
	w.check(err)
	f := w.file
	w.t.Cleanup(func() { f.Close() })
}

func (w *pythonWriter) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *pythonWriter) write(b []byte, pos int64) {
	w.t.Helper()
	_, err := w.file.WriteAt(b, pos)
	w.check(err)
}

// vote writes the next transaction in steps, with status 'c', and calls between after each.
func (w *pythonWriter) vote(between func()) {
	w.t.Helper()
	all := *w.d
	all.bytes, all.x = slices.Clone(w.d.bytes), newIndex()
	all.add(w.d.last+2, zodb.StatusCheckpoint, written{oid: 1, data: bytes.Repeat([]byte("x"), 100)})
	end := len(w.d.bytes)
	w.next = all.bytes[end:]
	for _, cut := range [][2]int{{0, 10}, {10, 23}, {23, 60}, {60, len(w.next) - 8}, {len(w.next) - 8, len(w.next)}} {
		w.write(w.next[cut[0]:cut[1]], int64(end+cut[0]))
		between()
	}
}

// finish flips the status, and returns the tid.
func (w *pythonWriter) finish() zodb.Tid {
	w.t.Helper()
	end := int64(len(w.d.bytes))
	w.write([]byte{' '}, end+statusAt)
	w.next[statusAt] = ' '
	w.d.bytes = append(w.d.bytes, w.next...)
	w.d.last = zodb.Tid(binary.BigEndian.Uint64(w.next))
	w.d.tids, w.d.at = append(w.d.tids, w.d.last), append(w.d.at, end)
	return w.d.last
}

func (w *pythonWriter) commit() zodb.Tid {
	w.t.Helper()
	w.vote(func() {})
	return w.finish()
}

// abort cuts off what vote has written, as a restart does after a crash.
func (w *pythonWriter) abort() {
	w.t.Helper()
	w.check(w.file.Truncate(int64(len(w.d.bytes))))
}

// pack puts another file in place, as a pack does that keeps only the transactions from keep on, and calls between when
// there is no file at the path.
func (w *pythonWriter) pack(keep zodb.Tid, between func()) {
	w.t.Helper()
	packed := newDataFile()
	for _, tid := range w.d.tids {
		if tid >= keep {
			packed.add(tid, zodb.StatusPacked, written{oid: 1, data: []byte("packed")})
		}
	}
	w.check(os.WriteFile(w.path+".pack", packed.bytes, 0o666))
	w.check(os.Rename(w.path, w.path+".old"))
	between()
	w.check(os.Rename(w.path+".pack", w.path))
	w.d = packed
	w.open()
}

// overwrite puts other bytes into the same file, as cp does, in two steps.
func (w *pythonWriter) overwrite(d *builtFile, between func()) {
	w.t.Helper()
	w.check(w.file.Truncate(0))
	between()
	half := len(d.bytes) / 2
	w.write(d.bytes[:half], 0)
	between()
	w.write(d.bytes[half:], int64(half))
	w.d = d
}
