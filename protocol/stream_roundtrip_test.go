package protocol

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
			{Oid: 0xffffffffffffffff, Tid: 0x03a4, Data: "last"},
		}},
	}
}

// large has records and blobs around the size of a raw frame, and the longest metadata.
func large() txn {
	meta := strings.Repeat("m", 65535)
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
