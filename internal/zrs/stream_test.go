package zrs_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A recording is what a real zc.zrs primary sent for a file of testdata/filestorage.
type recording struct {
	name  string // of the file
	start zodb.Tid
	bytes []byte
}

func recordings(tb testing.TB) (all []recording) {
	tb.Helper()
	const dir = "../../testdata/zrs"
	text, err := os.ReadFile(filepath.Join(dir, "starts.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var starts map[string]zodb.Tid
	if err := json.Unmarshal(text, &starts); err != nil {
		tb.Fatal(err)
	}
	for name, start := range starts {
		b, err := os.ReadFile(filepath.Join(dir, name+".bin"))
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, recording{filepath.Dir(name), start, b})
	}
	return all
}

// encoded returns the stream of a file.
func encoded(t *testing.T, dir string, start zodb.Tid) []byte {
	t.Helper()
	opt := filestorage.Options{ReadOnly: true, MustExist: true}
	blobs, err := blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{ReadOnly: true})
	if err == nil {
		opt.Blobs = blobs
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	it, err := st.Iterate(start, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var out bytes.Buffer
	enc := zrs.NewEncoder(&out, start)
	for {
		txn, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := enc.Encode(txn); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTheStreamOfAFileIsByteForByteThatOfZcZrs(t *testing.T) {
	for _, r := range recordings(t) {
		got := encoded(t, filepath.Join("../../testdata/filestorage", r.name), r.start)
		if at := differAt(got, r.bytes); at >= 0 {
			t.Errorf("%s from %v: %d bytes, want %d; they differ at %d:\n%q\n%q", r.name, r.start, len(got),
				len(r.bytes), at, around(got, at), around(r.bytes, at))
		}
	}
}

func differAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

func around(b []byte, at int) []byte { return b[max(at-60, 0):min(at+60, len(b))] }

// A kept transaction is one that was decoded whole.
type kept struct {
	meta    zodb.TxnMeta
	records []zodb.Record
	data    [][]byte
	blobs   [][]byte
	next    int
}

func (k *kept) Meta() *zodb.TxnMeta { return &k.meta }

func (k *kept) NextRecord() (*zodb.Record, error) {
	if k.next == len(k.records) {
		return nil, io.EOF
	}
	rec := k.records[k.next]
	if rec.Data != nil {
		rec.Data = bytes.NewReader(k.data[k.next])
	}
	if rec.Blob != nil {
		rec.Blob, rec.BlobSize = bytes.NewReader(k.blobs[k.next]), int64(len(k.blobs[k.next]))
	}
	k.next++
	return &rec, nil
}

// decode reads a stream to its end or to the first error. What is returned was found right.
func decode(stream []byte, start zodb.Tid, lim protocol.Limits) (all []*kept, err error) {
	dec := zrs.NewDecoder(bytes.NewReader(stream), start, lim)
	for {
		txn, err := dec.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		k, err := keep(txn)
		if err != nil {
			return all, err
		}
		all = append(all, k)
	}
}

func keep(txn zodb.Transaction) (*kept, error) {
	k := &kept{meta: *txn.Meta()}
	for {
		rec, err := txn.NextRecord()
		if errors.Is(err, io.EOF) {
			return k, nil
		}
		if err != nil {
			return nil, err
		}
		var data, blob []byte
		if rec.Data != nil {
			if data, err = io.ReadAll(rec.Data); err != nil {
				return nil, err
			}
		}
		if rec.Blob != nil {
			if blob, err = io.ReadAll(rec.Blob); err != nil {
				return nil, err
			}
		}
		k.records, k.data, k.blobs = append(k.records, *rec), append(k.data, data), append(k.blobs, blob)
	}
}

func TestARecordedStreamIsDecodedAndEncodedAgainByteForByte(t *testing.T) {
	for _, r := range recordings(t) {
		all, err := decode(r.bytes, r.start, protocol.Limits{})
		if err != nil {
			t.Errorf("%s from %v: %v", r.name, r.start, err)
			continue
		}
		var out bytes.Buffer
		enc := zrs.NewEncoder(&out, r.start)
		for _, k := range all {
			if err := enc.Encode(k); err != nil {
				t.Fatal(err)
			}
		}
		if err := enc.Flush(); err != nil {
			t.Fatal(err)
		}
		if at := differAt(out.Bytes(), r.bytes); at >= 0 {
			t.Errorf("%s from %v differs at %d:\n%q\n%q", r.name, r.start, at, around(out.Bytes(), at),
				around(r.bytes, at))
		}
	}
}

// find returns the recording of a file from its beginning.
func find(tb testing.TB, name string) recording {
	tb.Helper()
	for _, r := range recordings(tb) {
		if r.name == name && r.start == 0 {
			return r
		}
	}
	tb.Fatalf("no recording of %s", name)
	return recording{}
}

// ends returns the offsets after each transaction: a commit message begins like no other.
func ends(stream []byte) (at []int) {
	for pos := 0; pos < len(stream); {
		n := 4 + int(binary.BigEndian.Uint32(stream[pos:]))
		if strings.HasPrefix(string(stream[pos+4:pos+n]), "(X\x01\x00\x00\x00C(") {
			at = append(at, pos+n)
		}
		pos += n
	}
	return at
}

func TestAStreamThatEndsAnywhereGivesWholeTransactions(t *testing.T) {
	r := find(t, "blobs-lawn")
	whole := 0
	bounds := ends(r.bytes)
	for n := range r.bytes {
		if whole < len(bounds) && n == bounds[whole] {
			whole++
		}
		all, err := decode(r.bytes[:n], 0, protocol.Limits{})
		between := n == 0 || (whole > 0 && n == bounds[whole-1])
		if len(all) != whole || (err == nil) != between {
			t.Fatalf("of %d bytes: %d transactions, want %d; %v", n, len(all), whole, err)
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("of %d bytes: %v", n, err)
		}
	}
}

func TestAFlippedBitIsFoundBeforeItsTransactionEnds(t *testing.T) {
	r := find(t, "undo")
	bounds := ends(r.bytes)
	whole := 0
	for i := range r.bytes {
		if i == bounds[whole] {
			whole++
		}
		damaged := bytes.Clone(r.bytes)
		damaged[i] ^= 1 << (i % 8)
		all, err := decode(damaged, 0, protocol.Limits{})
		if err == nil || len(all) > whole {
			t.Fatalf("bit %d of byte %d: %d transactions, %v", i%8, i, len(all), err)
		}
	}
}

func TestAnotherStartIsAnotherDigest(t *testing.T) {
	var digest *protocol.DigestError
	if all, err := decode(find(t, "undo").bytes, 1, protocol.Limits{}); !errors.As(err, &digest) || len(all) > 0 {
		t.Errorf("%d transactions, %v", len(all), err)
	}
}

func TestAKeepAliveBetweenTransactionsIsNothing(t *testing.T) {
	r := find(t, "undo")
	first := ends(r.bytes)[0]
	stream := append(bytes.Clone(r.bytes[:first]), 0, 0, 0, 0, 0, 0, 0, 0)
	want, _ := decode(r.bytes, 0, protocol.Limits{})
	all, err := decode(append(stream, r.bytes[first:]...), 0, protocol.Limits{})
	if err != nil || len(all) != len(want) {
		t.Errorf("%d transactions of %d, %v", len(all), len(want), err)
	}
}
