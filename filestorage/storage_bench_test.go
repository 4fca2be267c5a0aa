package filestorage

import (
	"os"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// benchObjects is the number of objects in the storage of the open benchmarks.
const benchObjects = 1_000_000

// manyObjects makes a storage of benchObjects objects, one transaction for each hundred, and returns its path.
func manyObjects(b *testing.B, size int) string {
	b.Helper()
	s := emptyStorage(b, Options{})
	data := string(make([]byte, size))
	for oid := zodb.Oid(0); oid < benchObjects; {
		txn := mustBegin(b, s, &zodb.TxnMeta{})
		for range 100 {
			mustStore(b, txn, oid, 0, data)
			oid++
		}
		if _, err := txn.Enqueue(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return s.Path()
}

func BenchmarkOpenWithIndex(b *testing.B) {
	path := manyObjects(b, 200)
	for b.Loop() {
		mustOpen(b, path, Options{ReadOnly: true}).Close()
	}
}

// The speed of rebuilding an index, to be compared with that of BenchmarkReadFile.
func BenchmarkRebuildIndex(b *testing.B) {
	path := manyObjects(b, 200)
	if err := os.Remove(path + indexSuffix); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(mustRead(b, path))))
	for b.Loop() {
		mustOpen(b, path, Options{ReadOnly: true}).Close()
	}
}

func BenchmarkReadFile(b *testing.B) {
	path := manyObjects(b, 200)
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, scanBuf)
	for b.Loop() {
		n := int64(0)
		for {
			got, err := f.ReadAt(buf, n)
			n += int64(got)
			if err != nil {
				break
			}
		}
		b.SetBytes(n)
	}
}

// Transactions of one small record, enqueued one after the other: what catching up is bounded by.
func BenchmarkEnqueue(b *testing.B) {
	s := emptyStorage(b, Options{})
	data := make([]byte, 200)
	var last *Commit
	for b.Loop() {
		txn, err := s.Begin(b.Context(), &zodb.TxnMeta{})
		if err != nil {
			b.Fatal(err)
		}
		if err := txn.Store(s.NewOid(), 0, data); err != nil {
			b.Fatal(err)
		}
		if last, err = txn.Enqueue(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	<-last.Done()
}

// A transaction of one small record finished by itself: two syncs of the disk.
func BenchmarkFinish(b *testing.B) {
	s := emptyStorage(b, Options{})
	data := make([]byte, 200)
	for b.Loop() {
		txn, err := s.Begin(b.Context(), &zodb.TxnMeta{})
		if err != nil {
			b.Fatal(err)
		}
		if err := txn.Store(s.NewOid(), 0, data); err != nil {
			b.Fatal(err)
		}
		if _, err := txn.Finish(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	s := mustOpen(b, manyObjects(b, 200), Options{ReadOnly: true})
	oid := zodb.Oid(0)
	for b.Loop() {
		if _, _, err := s.Load(oid); err != nil {
			b.Fatal(err)
		}
		oid = (oid + 7919) % benchObjects
	}
}
