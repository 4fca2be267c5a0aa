package zrs_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// nested returns an extension of lists in each other.
func nested(t *testing.T, depth int) []byte {
	t.Helper()
	var v pickle.Value = int64(1)
	for range depth {
		v = &pickle.List{Items: []pickle.Value{v}}
	}
	b, err := pickle.Dump(&pickle.Dict{Items: []pickle.Pair{{Key: "k", Value: v}}}, pickle.Proto3, pickle.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The file says once what the wire has to say each time; and a message puts an extension two tuples deep.
func TestAnExtensionThatFitsTheFileButNoMessageIsSentEmpty(t *testing.T) {
	text := strings.Repeat("x", 100)
	for name, extension := range map[string][]byte{
		"one text, 20000 times": []byte("\x80\x03}q\x00X\x01\x00\x00\x00k](X\x64\x00\x00\x00" + text + "q\x02" +
			strings.Repeat("h\x02", 20000) + "es."),
		"as deep as can be read": nested(t, 98),
	} {
		t.Run(name, func(t *testing.T) {
			if len(extension) > zodb.MaxMetaLen {
				t.Fatalf("%d bytes are too many for a file", len(extension))
			}
			var out bytes.Buffer
			var garbled []zodb.Tid
			enc := zrs.NewEncoder(&out, 0)
			enc.Garbled = func(tid zodb.Tid, _ error) { garbled = append(garbled, tid) }
			for tid := zodb.Tid(9); tid <= 10; tid++ { // the stream goes on after it
				txn := &kept{meta: zodb.TxnMeta{Tid: tid, Status: zodb.StatusCommitted, Extension: extension}}
				if err := enc.Encode(txn); err != nil {
					t.Fatal(err)
				}
				extension = nil
			}
			if err := enc.Flush(); err != nil {
				t.Fatal(err)
			}
			all, err := decode(out.Bytes(), 0, protocol.Limits{})
			if err != nil || len(all) != 2 || len(all[0].meta.Extension) > 0 {
				t.Errorf("%d transactions, %v", len(all), err)
			}
			if diff := cmp.Diff([]zodb.Tid{9}, garbled); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestABlobOfUnknownSizeIsNotSentAsAnEmptyOne(t *testing.T) {
	var out bytes.Buffer
	enc := zrs.NewEncoder(&out, 0)
	if err := enc.Encode(&streamed{}); err == nil {
		t.Error("it was sent")
	}
	if err := enc.Flush(); err == nil {
		t.Error("the stream goes on")
	}
}

// A streamed transaction has one blob, whose size shows at its end.
type streamed struct{ done bool }

func (*streamed) Meta() *zodb.TxnMeta { return &zodb.TxnMeta{Tid: 9, Status: zodb.StatusCommitted} }

func (s *streamed) NextRecord() (*zodb.Record, error) {
	if s.done {
		return nil, io.EOF
	}
	s.done = true
	return &zodb.Record{Oid: 1, Tid: 9, Size: 1, Data: strings.NewReader("d"), Blob: strings.NewReader("blob"),
		BlobSize: zodb.UnknownSize}, nil
}

// stored returns the transactions of a file that a secondary gets.
func stored(t *testing.T, dir string) (all []*kept) {
	t.Helper()
	opt := filestorage.Options{ReadOnly: true, MustExist: true}
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	it, err := st.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for {
		txn, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		k, err := keep(txn)
		if err != nil {
			t.Fatal(err)
		}
		k.meta.User, k.meta.Description = bytes.Clone(k.meta.User), bytes.Clone(k.meta.Description)
		if k.meta.Status != zodb.StatusUndone {
			all = append(all, k)
		}
	}
}

// These two a Python primary cannot send, so there are no recordings.
func TestWhatAPythonPrimaryCannotSendArrives(t *testing.T) {
	for _, name := range []string{"extension-bytes", "status-u"} {
		dir := filepath.Join("../../testdata/filestorage", name)
		want := stored(t, dir)
		got, err := decode(encoded(t, dir, 0), 0, protocol.Limits{})
		if err != nil || len(got) != len(want) || len(want) == 0 {
			t.Fatalf("%s: %d transactions of %d, %v", name, len(got), len(want), err)
		}
		for i, w := range want {
			if got[i].meta.Tid != w.meta.Tid || !bytes.Equal(got[i].meta.User, w.meta.User) ||
				!bytes.Equal(got[i].meta.Description, w.meta.Description) {
				t.Errorf("%s: got %+v, want %+v", name, got[i].meta, w.meta)
			}
			if diff := cmp.Diff(w.data, got[i].data); diff != "" {
				t.Errorf("%s, data of %v: %s", name, w.meta.Tid, diff)
			}
		}
	}
}
