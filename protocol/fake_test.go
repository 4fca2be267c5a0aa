package protocol

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// A txn is a transaction in memory, as a test states it and as a test compares it.
type txn struct {
	Tid    zodb.Tid
	Status zodb.Status
	User   string
	Desc   string
	Ext    string
	Recs   []rec
}

type rec struct {
	Oid     zodb.Oid
	Tid     zodb.Tid
	DataTxn zodb.Tid
	HasPrev bool
	NoData  bool
	Data    string
	HasBlob bool
	Blob    string
	Shared  bool
	Size    int64 // of a shared blob
}

func (t *txn) open() *txnReader {
	return &txnReader{recs: t.Recs, meta: zodb.TxnMeta{Tid: t.Tid, Status: t.Status, User: []byte(t.User),
		Description: []byte(t.Desc), Extension: []byte(t.Ext)}}
}

type txnReader struct {
	meta zodb.TxnMeta
	recs []rec
}

func (t *txnReader) Meta() *zodb.TxnMeta { return &t.meta }

func (t *txnReader) NextRecord() (*zodb.Record, error) {
	if len(t.recs) == 0 {
		return nil, io.EOF
	}
	r := t.recs[0]
	t.recs = t.recs[1:]
	out := &zodb.Record{Oid: r.Oid, Tid: r.Tid, DataTxn: r.DataTxn, HasPrev: r.HasPrev, Size: zodb.NoData}
	if !r.NoData {
		out.Size, out.Data = int64(len(r.Data)), bytes.NewReader([]byte(r.Data))
	}
	if r.HasBlob {
		out.Blob, out.BlobSize = bytes.NewReader([]byte(r.Blob)), int64(len(r.Blob))
	}
	if r.Shared {
		out.SharedBlob, out.BlobSize = true, r.Size
	}
	return out, nil
}

// collect reads a transaction to its end.
func collect(t zodb.Transaction) (txn, error) {
	m := t.Meta()
	out := txn{Tid: m.Tid, Status: m.Status, User: string(m.User), Desc: string(m.Description),
		Ext: string(m.Extension)}
	for {
		r, err := t.NextRecord()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		got := rec{Oid: r.Oid, Tid: r.Tid, DataTxn: r.DataTxn, HasPrev: r.HasPrev, NoData: r.Size == zodb.NoData,
			HasBlob: r.Blob != nil}
		if r.SharedBlob {
			got.Shared, got.Size = true, r.BlobSize
		}
		for _, part := range []struct {
			from io.Reader
			to   *string
		}{{r.Data, &got.Data}, {r.Blob, &got.Blob}} {
			if part.from == nil {
				continue
			}
			b, err := io.ReadAll(part.from)
			if err != nil {
				return out, err
			}
			*part.to = string(b)
		}
		out.Recs = append(out.Recs, got)
	}
}

func encode(tb testing.TB, start zodb.Tid, txns ...txn) []byte {
	tb.Helper()
	var buf bytes.Buffer
	e := NewEncoder(&buf, start)
	for i := range txns {
		if err := e.Encode(txns[i].open()); err != nil {
			tb.Fatalf("Encode: %v", err)
		}
	}
	if err := e.Flush(); err != nil {
		tb.Fatalf("Flush: %v", err)
	}
	return buf.Bytes()
}

// decode returns the transactions that came out complete, and the error that ended the stream, nil for its regular
// end.
func decode(r io.Reader, start zodb.Tid, lim Limits) (out []txn, err error) {
	d := NewDecoder(r, start, lim)
	for {
		t, err := d.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		got, err := collect(t)
		if err != nil {
			return out, err
		}
		out = append(out, got)
	}
}

// samples are transactions with everything that a frame can carry.
func samples() []txn {
	return []txn{
		{Tid: 0x03a1, Status: ' ', User: "u", Desc: "d", Ext: "\x80\x03}q\x00.", Recs: []rec{
			{Oid: 0, Tid: 0x03a1, Data: "root"},
			{Oid: 1, Tid: 0x03a1, HasPrev: true, Data: strings.Repeat("x", 300)},
		}},
		{Tid: 0x03a2, Status: 'p', Recs: []rec{
			{Oid: 1, Tid: 0x03a2, DataTxn: 0x03a1, HasPrev: true, Data: "back pointer"},
			{Oid: 2, Tid: 0x03a2, NoData: true},
			{Oid: 3, Tid: 0x03a2, DataTxn: 0x03a1, HasPrev: true, NoData: true},
		}},
		{Tid: 0x03a3, Status: 'u', User: "\xff\x00", Desc: strings.Repeat("d", 300), Ext: "no pickle"},
		{Tid: 0x03a4, Status: ' ', Recs: []rec{
			{Oid: 4, Tid: 0x03a4, Data: "blob record", HasBlob: true, Blob: strings.Repeat("b", 1000)},
			{Oid: 5, Tid: 0x03a4, Data: "empty blob", HasBlob: true},
			{Oid: 6, Tid: 0x03a4, Data: "shared blob", Shared: true, Size: 1 << 33},
			{Oid: 7, Tid: 0x03a4, Data: "empty shared blob", Shared: true},
			{Oid: 0xffffffffffffffff, Tid: 0x03a4, Data: "last"},
		}},
	}
}

// large has records and blobs around the size of a raw frame, and the longest metadata.
func large() txn {
	meta := strings.Repeat("m", zodb.MaxMetaLen)
	t := txn{Tid: 9, Status: ' ', User: meta, Desc: meta, Ext: meta}
	for i, size := range []int{blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 7} {
		t.Recs = append(t.Recs, rec{Oid: 1, Tid: 9, Data: strings.Repeat("r", size), HasBlob: true,
			Blob: strings.Repeat("b", size+i)})
	}
	return t
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	want := append(samples(), large(), samples()[0])
	got, err := decode(bytes.NewReader(encode(t, 0x03a0, want...)), 0x03a0, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
