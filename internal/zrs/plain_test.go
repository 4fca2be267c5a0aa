package zrs

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/pickle"
)

// plainValues draws what a plain message may hold.
var plainValues = rapid.OneOf(
	rapid.Just[pickle.Value](nil),
	rapid.Just[pickle.Value](&pickle.Dict{}),
	rapid.Map(rapid.String(), func(s string) pickle.Value { return s }),
	rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) pickle.Value { return pickle.Bytes(b) }),
)

func TestAPlainMessageIsWhatPicklesAre(t *testing.T) {
	var r plainReader // one for all: nothing may be left of the message before
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{kindTxn, kindRecord, kindCommit}).Draw(t, "kind")
		content := pickle.Tuple(rapid.SliceOfN(plainValues, 1, maxFields).Draw(t, "content"))
		want, err := pickle.Dump(pickle.Tuple{kind, content}, pickle.Proto1Fast, wireLimits)
		if err != nil {
			t.Fatal(err)
		}
		got, plain := appendPlain(nil, kind, content)
		if !plain || !bytes.Equal(got, want) {
			t.Fatalf("written as %q (plain: %v), want %q", got, plain, want)
		}
		gotKind, f, plain := r.open(want)
		if !plain || gotKind != kind {
			t.Fatalf("read as %q, plain: %v", gotKind, plain)
		}
		_, all, err := open(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all.left, f.left); diff != "" {
			t.Fatalf("read as another message (-pickle +plain):\n%s", diff)
		}
	})
}

// FuzzPlain: whatever is taken for plain is what package pickle makes of it, too.
func FuzzPlain(f *testing.F) {
	for _, content := range []pickle.Tuple{
		{pickle.Bytes("12345678"), " ", pickle.Bytes{}, pickle.Bytes("\x00\x7f\x80\xff"), &pickle.Dict{}},
		{pickle.Bytes("12345678"), pickle.Bytes("12345678"), "", nil},
		{},
	} {
		message, _ := appendPlain(nil, kindTxn, content)
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		kind, plain, ok := new(plainReader).open(message)
		if !ok {
			return
		}
		want, all, err := open(message)
		if err != nil {
			t.Fatalf("plain, but no pickle: %v", err)
		}
		if diff := cmp.Diff(all.left, plain.left, cmpopts.EquateEmpty()); diff != "" || kind != want {
			t.Fatalf("kind %q, want %q; content (-pickle +plain):\n%s", kind, want, diff)
		}
	})
}
