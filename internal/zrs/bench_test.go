package zrs_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// replay yields the same transaction for ever.
type replay struct {
	meta zodb.TxnMeta
	rec  zodb.Record
	data bytes.Reader
	buf  []byte
	left int
	n    int
}

func newReplay(records, size int) *replay {
	r := &replay{buf: bytes.Repeat([]byte("z"), size), n: records}
	r.meta = zodb.TxnMeta{Tid: 1, Status: zodb.StatusCommitted, User: []byte(" admin"),
		Description: []byte("/plone/edit")}
	r.rec = zodb.Record{Oid: 7, Tid: 1, HasPrev: true, Size: int64(size), Data: &r.data}
	return r
}

func (r *replay) Meta() *zodb.TxnMeta { return &r.meta }

func (r *replay) NextRecord() (*zodb.Record, error) {
	if r.left == 0 {
		r.left = r.n
		return nil, io.EOF
	}
	r.left--
	r.data.Reset(r.buf)
	return &r.rec, nil
}

func BenchmarkEncodeSmall(b *testing.B) { benchmarkEncode(b, 1, 200) }
func BenchmarkEncode4K(b *testing.B)    { benchmarkEncode(b, 5, 4096) }
func BenchmarkDecodeSmall(b *testing.B) { benchmarkDecode(b, 1, 200) }
func BenchmarkDecode4K(b *testing.B)    { benchmarkDecode(b, 5, 4096) }

func benchmarkEncode(b *testing.B, records, size int) {
	b.Helper()
	src := newReplay(records, size)
	e := zrs.NewEncoder(io.Discard, 0)
	b.SetBytes(int64(records * size))
	b.ReportAllocs()
	for b.Loop() {
		src.left = records
		if err := e.Encode(src); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkDecode(b *testing.B, records, size int) {
	b.Helper()
	const batch = 1000 // the digest runs on, so a stream cannot be rewound
	var wire bytes.Buffer
	src := newReplay(records, size)
	e := zrs.NewEncoder(&wire, 0)
	for range batch {
		src.left = records
		if err := e.Encode(src); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(records * size))
	b.ReportAllocs()
	var d *zrs.Decoder
	for n := 0; b.Loop(); n++ {
		if n%batch == 0 {
			d = zrs.NewDecoder(bytes.NewReader(wire.Bytes()), 0, protocol.Limits{})
		}
		t, err := d.Next()
		if err != nil {
			b.Fatal(err)
		}
		drain(b, t)
	}
}

func drain(b *testing.B, t zodb.Transaction) {
	b.Helper()
	for {
		r, err := t.NextRecord()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Data); err != nil {
			b.Fatal(err)
		}
	}
}
