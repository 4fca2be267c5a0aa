package wire

import (
	"bytes"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/zrsd/zrsd/internal/pickle"
)

// native is a value as msgpack.Encoder takes it, which writes the same bytes.
func native(v pickle.Value) any {
	switch v := v.(type) {
	case *big.Int:
		return v.Uint64()
	case pickle.Bytes:
		return []byte(v)
	case pickle.ByteString:
		return []byte(v)
	case pickle.Tuple:
		list := []any{}
		for _, item := range v {
			list = append(list, native(item))
		}
		return list
	case *pickle.List:
		return native(pickle.Tuple(v.Items))
	}
	return v
}

// sameAsTheLibrary checks that a message has the bytes that the library writes.
func sameAsTheLibrary(t *testing.T, args pickle.Value) {
	t.Helper()
	got, err := codec(t, M5).Append(nil, &Message{int64(1), flagCall, "vote", args})
	if err != nil {
		t.Fatalf("%T: %v", args, err)
	}
	var want bytes.Buffer
	enc := msgpack.NewEncoder(&want)
	enc.UseCompactInts(true)
	if err := enc.Encode([]any{int64(1), false, "vote", native(args)}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[SizeLen:], want.Bytes()) {
		t.Errorf("%T: got %.60x, the library writes %.60x", args, got[SizeLen:], want.Bytes())
	}
}

func TestNumbersArePackedInTheirShortestForm(t *testing.T) {
	numbers := []int64{
		0, 1, 1 << 7, 1 << 8, 1 << 15, 1 << 16, 1 << 31, 1 << 32, math.MaxInt64, math.MinInt64, -1, -32,
		math.MinInt8, math.MinInt16, math.MinInt32,
	}
	for _, n := range numbers {
		for d := int64(-1); d <= 1; d++ {
			sameAsTheLibrary(t, n+d)
		}
	}
	sameAsTheLibrary(t, new(big.Int).SetUint64(math.MaxUint64))
	sameAsTheLibrary(t, new(big.Int).SetUint64(3))
	sameAsTheLibrary(t, 1.5)
	sameAsTheLibrary(t, math.Inf(-1))
}

func TestLengthsArePackedInTheirShortestForm(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536} {
		sameAsTheLibrary(t, strings.Repeat("x", n))
		sameAsTheLibrary(t, pickle.Bytes(make([]byte, n)))
		sameAsTheLibrary(t, pickle.ByteString(make([]byte, n)))
		sameAsTheLibrary(t, pickle.Tuple(slices.Repeat([]pickle.Value{nil}, n)))
		sameAsTheLibrary(t, &pickle.List{Items: slices.Repeat([]pickle.Value{true}, n)})
	}
}

func TestDictionariesArePackedWithTheirLength(t *testing.T) {
	for n, head := range map[int]string{0: "\x80", 15: "\x8f", 16: "\xde\x00\x10", 65536: "\xdf\x00\x01\x00\x00"} {
		d := &pickle.Dict{Items: slices.Repeat([]pickle.Pair{{Key: "k", Value: nil}}, n)}
		got, err := codec(t, M5).Append(nil, &Message{int64(1), flagCall, "vote", d})
		want := "\x94\x01\xc2\xa4vote" + head + strings.Repeat("\xa1k\xc0", n)
		if err != nil || string(got[SizeLen:]) != want {
			t.Errorf("%d items: got %.40x, %v, want %.40x", n, got[SizeLen:], err, want)
		}
	}
}

func TestNoBytesArePackedAsBytes(t *testing.T) {
	for _, none := range []pickle.Value{pickle.Bytes(nil), pickle.ByteString("")} {
		got, err := codec(t, M5).Append(nil, Reply(int64(1), none))
		if err != nil || !bytes.HasSuffix(got, []byte("\xc4\x00")) {
			t.Errorf("%#v: got %x, %v", none, got, err)
		}
	}
}

func TestWhatCannotBePackedIsAnErrorAndLeavesNothing(t *testing.T) {
	deep := pickle.Value(pickle.Tuple{})
	for range limits.Nesting + 1 {
		deep = pickle.Tuple{deep}
	}
	for name, v := range map[string]pickle.Value{
		"a class": pickle.Global{Module: "a", Name: "b"}, "too deep": deep, "a negative long": big.NewInt(-1),
		"within others": pickle.Tuple{int64(1), &pickle.Dict{Items: []pickle.Pair{{Key: "k", Value: struct{}{}}}}},
	} {
		before := []byte("before")
		got, err := codec(t, M5).Append(before, Reply(int64(1), v))
		if err == nil || string(got) != "before" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
