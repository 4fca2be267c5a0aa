package zrs_test

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// messages joins sized messages to a stream.
func messages(payloads ...string) (stream []byte) {
	for _, p := range payloads {
		stream = binary.BigEndian.AppendUint32(stream, uint32(len(p)))
		stream = append(stream, p...)
	}
	return stream
}

// What a primary on Python 2 sends for one object of the first transaction, with tid 7.
const (
	py2Txn    = "(U\x01T(U\x08\x00\x00\x00\x00\x00\x00\x00\x07U\x01 U\x02meU\x04textU\x00(U\x04nameK\x01tt."
	py2Record = "(U\x01S(U\x08\x00\x00\x00\x00\x00\x00\x00\x02U\x08\x00\x00\x00\x00\x00\x00\x00\x07U\x00Ntt."
	py2Blob   = "(U\x01B(U\x08\x00\x00\x00\x00\x00\x00\x00\x02U\x08\x00\x00\x00\x00\x00\x00\x00\x07U\x00NL1L\ntt."
)

func withDigest(payloads ...string) []byte {
	sum := md5.New()
	sum.Write(make([]byte, 8))
	for _, p := range payloads {
		sum.Write([]byte(p))
	}
	return messages(append(payloads, "(U\x01C(U\x10"+string(sum.Sum(nil))+"tt.")...)
}

func py2Meta() string {
	return strings.Replace(py2Txn, "U\x00(U\x04nameK\x01tt.", "}U\x04nameK\x01stt.", 1)
}

func TestAPrimaryOnPython2IsUnderstood(t *testing.T) {
	all, err := decode(withDigest(py2Meta(), py2Record, "data", py2Blob, "blob", "content"), 0, protocol.Limits{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d transactions, %v", len(all), err)
	}
	m := all[0].meta
	if m.Tid != 7 || string(m.User) != "me" || string(m.Description) != "text" || len(m.Extension) == 0 {
		t.Errorf("%+v", m)
	}
	if len(all[0].records) != 2 || string(all[0].data[0]) != "data" || string(all[0].blobs[1]) != "content" {
		t.Errorf("%+v", all[0])
	}
}

func TestWhatIsTooLargeIsNotRead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stream []byte
	}{
		{"a message", []byte("\xff\xff\xff\xff")},
		{"a record", append(messages(py2Meta(), py2Record), 0xff, 0xff, 0xff, 0xff)},
	} {
		var large *protocol.TooLargeError
		if _, err := decode(tt.stream, 0, protocol.Limits{MaxRecord: 10}); !errors.As(err, &large) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	blocks := strings.Replace(py2Blob, "L1L", "L99999999999L", 1)
	if _, err := decode(messages(py2Meta(), blocks), 0, protocol.Limits{MaxBlob: 1 << 20}); err == nil {
		t.Error("a blob of too many blocks is taken")
	}
}

func TestWhatIsNoMessageIsAnError(t *testing.T) {
	for name, stream := range map[string][]byte{
		"no pickle":                  messages("hello"),
		"not a pair":                 messages("N."),
		"another kind":               messages("(U\x01Z)t."),
		"a record before any":        messages(py2Record),
		"a commit before any":        withDigest(),
		"a transaction inside":       messages(py2Meta(), py2Meta()),
		"no dictionary as extension": messages(py2Txn),
		"in progress":                messages(strings.Replace(py2Meta(), "U\x01 ", "U\x01c", 1)),
		"a short tid":                messages(strings.Replace(py2Meta(), "U\x08\x00", "U\x07", 1)),
		"a version":                  messages(py2Meta(), strings.Replace(py2Record, "U\x00N", "U\x01vN", 1)),
		"nested too deep":            messages(strings.Repeat("]", 1000) + strings.Repeat("a", 999) + "."),
		"a number of blocks below 0": messages(py2Meta(), strings.Replace(py2Blob, "L1L", "L-1L", 1)),
		"an empty block":             messages(py2Meta(), py2Blob, "blob", ""),
		"a block that is too large":  messages(py2Meta(), py2Blob, "blob", strings.Repeat("x", 64<<10+1)),
	} {
		var frame *protocol.FrameError
		if all, err := decode(stream, 0, protocol.Limits{}); !errors.As(err, &frame) || len(all) > 0 {
			t.Errorf("%s: %d transactions, %v", name, len(all), err)
		}
	}
}

// A value that names something unknown is kept, and is the same after a second time on the wire.
func TestAnExtensionKeepsWhatNobodyHereUnderstands(t *testing.T) {
	unknown := "}U\x04namecsome.module\nThing\n)Rs"
	all, err := decode(withDigest(strings.Replace(py2Meta(), "}U\x04nameK\x01s", unknown, 1)), 0, protocol.Limits{})
	if err != nil || !bytes.Contains(all[0].meta.Extension, []byte("some.module")) {
		t.Fatalf("%v: %+v", err, all)
	}
	var out bytes.Buffer
	enc := zrs.NewEncoder(&out, 0)
	if err := errors.Join(enc.Encode(all[0]), enc.Flush()); err != nil {
		t.Fatal(err)
	}
	again, err := decode(out.Bytes(), 0, protocol.Limits{})
	if err != nil || !bytes.Equal(again[0].meta.Extension, all[0].meta.Extension) {
		t.Errorf("%v: %q, then %q", err, all[0].meta.Extension, again[0].meta.Extension)
	}
}

func TestAnExtensionThatIsNoPickleIsSentEmpty(t *testing.T) {
	var garbled zodb.Tid
	var out bytes.Buffer
	enc := zrs.NewEncoder(&out, 0)
	enc.Garbled = func(tid zodb.Tid, _ error) { garbled = tid }
	txn := &kept{meta: zodb.TxnMeta{Tid: 9, Status: zodb.StatusCommitted, Extension: []byte("garbage")}}
	if err := errors.Join(enc.Encode(txn), enc.Flush()); err != nil {
		t.Fatal(err)
	}
	all, err := decode(out.Bytes(), 0, protocol.Limits{})
	if err != nil || len(all) != 1 || len(all[0].meta.Extension) != 0 || garbled != 9 {
		t.Errorf("%v: %+v, told of %v", err, all, garbled)
	}
}

func TestAnUndoneTransactionIsNotSent(t *testing.T) {
	var out bytes.Buffer
	enc := zrs.NewEncoder(&out, 0)
	txn := &kept{meta: zodb.TxnMeta{Tid: 9, Status: zodb.StatusUndone}}
	if err := errors.Join(enc.Encode(txn), enc.Flush()); err != nil || out.Len() > 0 {
		t.Errorf("%v, sent % x", err, out.Bytes())
	}
}

func FuzzDecoder(f *testing.F) {
	for _, name := range []string{"undo", "blobs-lawn", "deleted-object"} {
		f.Add(find(f, name).bytes)
	}
	f.Add(withDigest(py2Meta(), py2Record, "data", py2Blob, "blob", "content"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		all, err := decode(stream, 0, protocol.Limits{MaxRecord: 1 << 20, MaxBlob: 1 << 20})
		if err != nil {
			return
		}
		var out bytes.Buffer
		enc := zrs.NewEncoder(&out, 0)
		for _, k := range all {
			if err := enc.Encode(k); err != nil {
				t.Fatalf("what was decoded cannot be encoded: %v", err)
			}
		}
	})
}
