package inside

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// benchObjects is how many objects the storage of a benchmark has.
const benchObjects = 200_000

// benchRecord is a small persistent mapping with three references and a text, in protocol 3.
func benchRecord(i int) []byte {
	r := []byte("\x80\x03cpersistent.mapping\nPersistentMapping\nq\x00.\x80\x03}q\x01X\x04\x00\x00\x00dataq\x02}q\x03(")
	for j, to := range []int{2*i + 1, 2*i + 2, i * 7919} {
		r = append(r, "X\x01\x00\x00\x00"+string(rune('a'+j))+"C\x08"...)
		r = binary.BigEndian.AppendUint64(r, uint64(to%benchObjects))
		r = append(r, "h\x00\x86Q"...)
	}
	return append(r, "X\x04\x00\x00\x00textX\xc8\x00\x00\x00"+strings.Repeat("text", 50)+"us."...)
}

func benchStorage(b *testing.B) *filestorage.Storage {
	b.Helper()
	path := filepath.Join(b.TempDir(), "Data.fs")
	st, err := filestorage.Open(b.Context(), path, filestorage.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for first := 0; first < benchObjects; first += 1000 {
		txn, err := st.Begin(b.Context(), &zodb.TxnMeta{})
		for i := first; i < first+1000 && err == nil; i++ {
			err = txn.Store(zodb.Oid(i), 0, benchRecord(i))
		}
		if err == nil {
			_, err = txn.Finish(b.Context(), nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	st, err = filestorage.Open(b.Context(), path, filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { err = errors.Join(err, st.Close()) })
	return st
}

// BenchmarkTake is one pass over objects of 370 bytes.
func BenchmarkTake(b *testing.B) {
	st := benchStorage(b)
	b.SetBytes(benchObjects * int64(len(benchRecord(0))+42))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Take(b.Context(), st, Options{Workers: 1}); err != nil {
			b.Fatal(err)
		}
	}
}
