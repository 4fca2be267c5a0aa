package protocol

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// A wires is a connection that reads from in and writes to out.
type wires struct {
	noConn
	in  io.Reader
	out io.Writer
}

func (w *wires) Read(b []byte) (int, error)  { return w.in.Read(b) }
func (w *wires) Write(b []byte) (int, error) { return w.out.Write(b) }

// rangesOf returns a stream of ranges that reads from in and writes to out.
func rangesOf(in io.Reader, out io.Writer) *RangeStream {
	return NewRangeStream(&wires{in: in, out: out})
}

// bothDigests runs a test with streams of each digest.
func bothDigests(t *testing.T, test func(t *testing.T, stream func(in io.Reader, out io.Writer) *RangeStream)) {
	t.Helper()
	for _, name := range []string{DigestXX, DigestSHA} {
		t.Run(name, func(t *testing.T) {
			test(t, func(in io.Reader, out io.Writer) *RangeStream {
				s := rangesOf(in, out)
				s.hash = newRangeHash(name)
				return s
			})
		})
	}
}

// answered returns the bytes of an answer to a request, whose content is data, of a blob of this size.
func answered(tb testing.TB, request any, size int64, data []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	answerOn(tb, rangesOf(nil, &out), request, size, data)
	return out.Bytes()
}

func answerOn(tb testing.TB, s *RangeStream, request any, size int64, data []byte) {
	tb.Helper()
	var err error
	switch r := request.(type) {
	case *RangeRequest:
		data, err = s.AnswerRange(r, data)
	case *BlobRequest:
		data, err = s.AnswerBlob(r, size, data)
	case *RecordRequest:
		data, err = s.AnswerRecord(r, size, data)
	}
	_, failed := s.Write(data)
	if err := errors.Join(err, failed, s.Flush()); err != nil {
		tb.Fatal(err)
	}
}

func TestRequestsForRangesArriveAsTheyWereSent(t *testing.T) {
	var wire bytes.Buffer
	requests := []any{
		&RangeRequest{From: 4, Length: MaxRange},
		&BlobRequest{Oid: 7, Tid: 0x03f8658010000000, Offset: 1 << 40, Length: 9},
		&BlobRequest{Oid: 1, Tid: 2}, &RangeRequest{From: 1 << 60, Length: 1},
		&RecordRequest{Oid: 7, Tid: 0x03f8658010000000, Offset: 1 << 40, Length: 9, Bare: true},
		&RecordRequest{Oid: 1, Tid: 2, Text: true, Length: MaxRange},
	}
	s := rangesOf(nil, &wire)
	for _, r := range requests {
		if err := s.Request(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	got := rangesOf(&wire, nil)
	for _, want := range requests {
		r, err := got.ReceiveRequest()
		if diff := cmp.Diff(want, r); err != nil || diff != "" {
			t.Errorf("%v: %s", err, diff)
		}
	}
	if _, err := got.ReceiveRequest(); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

func TestImpossibleRequestsForRangesAreCorrupt(t *testing.T) {
	for _, r := range []any{
		&RangeRequest{From: -1, Length: 1}, &RangeRequest{From: 4}, &RangeRequest{From: 4, Length: MaxRange + 1},
		&RangeRequest{From: 4, Length: -1}, &BlobRequest{Length: MaxRange + 1}, &BlobRequest{Offset: -1},
		&BlobRequest{Length: -1}, &RecordRequest{Length: MaxRange + 1}, &RecordRequest{Offset: -1},
		&RecordRequest{Length: -1},
	} {
		var wire bytes.Buffer
		s := rangesOf(nil, &wire)
		if err := errors.Join(s.Request(r), s.Flush()); err != nil {
			t.Fatal(err)
		}
		if got, err := rangesOf(&wire, nil).ReceiveRequest(); !errors.Is(err, errCorruptMessage) {
			t.Errorf("%+v was received as %+v, %v", r, got, err)
		}
	}
}

func TestARangeArrivesOnlyAsTheAnswerToItsRequest(t *testing.T) {
	r := &RangeRequest{From: 100, Length: 5}
	wire := answered(t, r, 0, []byte("hello"))
	data, err := rangesOf(bytes.NewReader(wire), nil).ReceiveRange(r, nil)
	if err != nil || string(data) != "hello" {
		t.Fatalf("%q, %v", data, err)
	}
	for _, other := range []*RangeRequest{{From: 101, Length: 5}, {From: 100, Length: 4}, {From: 100, Length: 6}} {
		var damage *RangeError
		if _, err := rangesOf(bytes.NewReader(wire), nil).ReceiveRange(other, nil); !errors.As(err, &damage) {
			t.Errorf("as the answer to %+v: %v", other, err)
		}
	}
}

func TestABlobArrivesOnlyAsTheAnswerToItsRequest(t *testing.T) {
	r := &BlobRequest{Oid: 1, Tid: 2, Offset: 3, Length: 10}
	wire := answered(t, r, 8, []byte("hello"))
	size, data, err := rangesOf(bytes.NewReader(wire), nil).ReceiveBlob(r, nil)
	if err != nil || string(data) != "hello" || size != 8 {
		t.Fatalf("%q of %d, %v", data, size, err)
	}
	for _, other := range []*BlobRequest{
		{Oid: 2, Tid: 2, Offset: 3, Length: 10}, {Oid: 1, Tid: 3, Offset: 3, Length: 10},
		{Oid: 1, Tid: 2, Offset: 2, Length: 10}, {Oid: 1, Tid: 2, Offset: 3, Length: 4},
	} {
		var damage *RangeError
		if _, _, err := rangesOf(bytes.NewReader(wire), nil).ReceiveBlob(other, nil); !errors.As(err, &damage) {
			t.Errorf("as the answer to %+v: %v", other, err)
		}
	}
	none := answered(t, r, NoBlob, nil)
	if size, data, err := rangesOf(bytes.NewReader(none), nil).ReceiveBlob(r, nil); err != nil || size != NoBlob ||
		len(data) > 0 {
		t.Errorf("no blob is %d bytes, %q, %v", size, data, err)
	}
}

// No byte of an answer can be damaged, or be missing, without being noticed.
func TestADamagedRangeIsNotUsed(t *testing.T) {
	bothDigests(t, func(t *testing.T, stream func(in io.Reader, out io.Writer) *RangeStream) {
		t.Helper()
		r := &RangeRequest{From: 100, Length: 5}
		var out bytes.Buffer
		answerOn(t, stream(nil, &out), r, 0, []byte("hello"))
		wire := out.Bytes()
		if data, err := stream(bytes.NewReader(wire), nil).ReceiveRange(r, nil); err != nil {
			t.Fatalf("%q, %v", data, err)
		}
		for at := range wire {
			for bit := range 8 {
				bad := bytes.Clone(wire)
				bad[at] ^= 1 << bit
				if data, err := stream(bytes.NewReader(bad), nil).ReceiveRange(r, nil); err == nil {
					t.Errorf("byte %d, bit %d: %q", at, bit, data)
				}
			}
			if data, err := stream(bytes.NewReader(wire[:at]), nil).ReceiveRange(r, nil); err == nil {
				t.Errorf("cut at %d: %q", at, data)
			}
		}
	})
}

// packed has a stream that sends, or one that receives, compressed answers.
func packed(tb testing.TB, s *RangeStream, sends bool) *RangeStream {
	tb.Helper()
	var err error
	if s.pack, err = packsWith(PackZstd, sends); err != nil {
		tb.Fatal(err)
	}
	return s
}

// Compressed answers are shorter, where that is possible, and become what they were; no byte of them can be damaged, or
// be missing, without being noticed.
func TestACompressedRangeArrivesAsItWas(t *testing.T) {
	dense := make([]byte, 3000) // nothing makes it shorter
	rand.NewChaCha8([32]byte{}).Read(dense)
	for _, data := range [][]byte{bytes.Repeat([]byte("hello "), 500), dense, []byte("a")} {
		r := &RangeRequest{From: 100, Length: int64(len(data))}
		b := &BlobRequest{Oid: 1, Tid: 2, Length: int64(len(data))}
		var ofFile, ofBlob bytes.Buffer
		answerOn(t, packed(t, rangesOf(nil, &ofFile), true), r, 0, data)
		answerOn(t, packed(t, rangesOf(nil, &ofBlob), true), b, int64(len(data)), data)
		wire := ofFile.Bytes()
		receive := func(wire []byte) ([]byte, error) {
			return packed(t, rangesOf(bytes.NewReader(wire), nil), false).ReceiveRange(r, nil)
		}
		if got, err := receive(wire); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if size, got, err := packed(t, rangesOf(&ofBlob, nil), false).ReceiveBlob(b, nil); err != nil ||
			size != int64(len(data)) || !bytes.Equal(got, data) {
			t.Fatalf("a blob of %d, %d bytes, %v", size, len(got), err)
		}
		if len(data) < 2*len(wire) != (data[0] != 'h') {
			t.Errorf("%d bytes became %d", len(data), len(wire))
		}
		for at := range wire {
			bad := bytes.Clone(wire)
			bad[at] ^= 1 << (at % 8)
			if got, err := receive(bad); err == nil {
				t.Errorf("byte %d: %d bytes", at, len(got))
			}
			if got, err := receive(wire[:at]); err == nil {
				t.Errorf("cut at %d: %d bytes", at, len(got))
			}
		}
	}
}

// What was not agreed on is not taken, nor what would become more than was asked for.
func TestACompressedAnswerIsBounded(t *testing.T) {
	r := &RangeRequest{From: 100, Length: 10}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := enc.EncodeAll(make([]byte, MaxRange), nil)
	for name, answer := range map[string]struct {
		head  rangeAnswer
		rest  []byte
		known bool
	}{
		"not agreed on": {rangeAnswer{From: 100, Length: 10, Packed: 5}, []byte("12345"), false},
		"longer":        {rangeAnswer{From: 100, Length: 10, Packed: 1 << 40}, nil, true},
		"below 0":       {rangeAnswer{From: 100, Length: 10, Packed: -1}, nil, true},
		"no zstd":       {rangeAnswer{From: 100, Length: 10, Packed: 5}, []byte("12345"), true},
		"a bomb":        {rangeAnswer{From: 100, Length: 10, Packed: 9}, bomb[:9], true},
	} {
		var wire bytes.Buffer
		s := rangesOf(nil, &wire)
		if err := errors.Join(s.write(kindRange, &answer.head), s.Flush()); err != nil {
			t.Fatal(err)
		}
		wire.Write(answer.rest)
		got := rangesOf(&wire, nil)
		if answer.known {
			packed(t, got, false)
		}
		var damage *RangeError
		if data, err := got.ReceiveRange(r, nil); !errors.As(err, &damage) {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// Both sides say how answers are compressed; what is not known is an error of the one that gets it, and nothing for the
// one that is asked for it.
func TestCompressionIsAgreedOn(t *testing.T) {
	for wanted, want := range map[string]string{PackZstd: PackZstd, "": "", "lz7": ""} {
		if got := RangePacking(wanted); got != want {
			t.Errorf("who wants %q gets %q", wanted, got)
		}
	}
	var wire bytes.Buffer
	s := rangesOf(nil, &wire)
	head := &RangesHead{End: 10, Digest: DigestXX, Pack: "lz7"}
	if err := errors.Join(s.write(kindRanges, head), s.Flush()); err != nil {
		t.Fatal(err)
	}
	if h, err := rangesOf(&wire, nil).ReceiveHead(); err == nil {
		t.Errorf("it is taken: %+v", h)
	}
}

// Of what is asked for by its digest only, no bytes come, and it is compared with what is here.
func TestABareAnswerIsCompared(t *testing.T) {
	bothDigests(t, func(t *testing.T, stream func(in io.Reader, out io.Writer) *RangeStream) {
		t.Helper()
		file := &RangeRequest{From: 100, Length: 5, Bare: true}
		blob := &BlobRequest{Oid: 1, Tid: 2, Offset: 3, Length: 10, Bare: true}
		var out bytes.Buffer
		s := stream(nil, &out)
		answerOn(t, s, file, 0, []byte("hello"))
		ofFile := bytes.Clone(out.Bytes())
		out.Reset()
		answerOn(t, s, blob, 8, []byte("world"))
		for _, have := range []string{"hello", "hellp", "hell", "hello!", ""} {
			want := have == "hello"
			same, err := stream(bytes.NewReader(ofFile), nil).CompareRange(file, []byte(have))
			if err != nil || same != want {
				t.Errorf("%q is the same: %v, %v", have, same, err)
			}
		}
		for size, want := range map[int64]bool{8: true, 9: false} {
			same, err := stream(bytes.NewReader(out.Bytes()), nil).CompareBlob(blob, size, []byte("world"))
			if err != nil || same != want {
				t.Errorf("a blob of %d bytes is the same: %v, %v", size, same, err)
			}
		}
		var damage *RangeError // for one who asked for bytes it is no answer
		_, err := stream(bytes.NewReader(ofFile), nil).ReceiveRange(&RangeRequest{From: 100, Length: 5}, nil)
		if !errors.As(err, &damage) {
			t.Errorf("a bare range was received: %v", err)
		}
		full := &BlobRequest{Oid: 1, Tid: 2, Offset: 3, Length: 10}
		_, _, err = stream(bytes.NewReader(out.Bytes()), nil).ReceiveBlob(full, nil)
		if !errors.As(err, &damage) {
			t.Errorf("a bare part of a blob was received: %v", err)
		}
	})
}

// A peer gets the digest that it wants, where it is known here, and one that asks for none gets the one of before.
func TestTheDigestOfRangesIsTheOneThatIsWanted(t *testing.T) {
	for wanted, want := range map[string]string{
		DigestXX: DigestXX, DigestSHA: DigestSHA, "": DigestSHA, "md7": DigestSHA,
	} {
		name := RangeDigest(wanted)
		if name != want {
			t.Errorf("who wants %q gets %q", wanted, name)
		}
		var wire bytes.Buffer
		r, s := &RangeRequest{From: 4, Length: 5}, rangesOf(nil, &wire)
		if err := s.SendHead(&RangesHead{End: 10, Digest: name}); err != nil {
			t.Fatal(err)
		}
		answerOn(t, s, r, 0, []byte("hello"))
		got := rangesOf(&wire, nil)
		_, err := got.ReceiveHead()
		data, failed := got.ReceiveRange(r, nil)
		if err := errors.Join(err, failed); err != nil || string(data) != "hello" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

func TestAnAnswerThatPromisesMoreThanWasAskedForGetsNoMemory(t *testing.T) {
	huge := &partAnswer{Oid: 1, Tid: 2, Length: 1 << 62, Size: 1 << 62}
	var wire bytes.Buffer
	s := rangesOf(nil, &wire)
	if err := errors.Join(s.write(kindBlob, huge), s.Flush()); err != nil {
		t.Fatal(err)
	}
	var damage *RangeError
	_, _, err := rangesOf(&wire, nil).ReceiveBlob(&BlobRequest{Oid: 1, Tid: 2, Length: 10}, nil)
	if !errors.As(err, &damage) {
		t.Errorf("it is %v", err)
	}
}

func TestADigestThatIsNotKnownIsSaid(t *testing.T) {
	var wire bytes.Buffer
	if err := rangesOf(nil, &wire).SendHead(&RangesHead{End: 10, Digest: "md7"}); err != nil {
		t.Fatal(err)
	}
	if h, err := rangesOf(&wire, nil).ReceiveHead(); err == nil {
		t.Errorf("it is taken: %+v", h)
	}
}

func FuzzRanges(f *testing.F) {
	file, blob := &RangeRequest{From: 100, Length: 5}, &BlobRequest{Oid: 1, Tid: 2, Offset: 3, Length: 10}
	f.Add(answered(f, file, 0, []byte("hello")))
	f.Add(answered(f, blob, 8, []byte("hello")))
	f.Add(answered(f, blob, NoBlob, nil))
	record := &RecordRequest{Oid: 1, Tid: 2, Offset: 3, Length: 10}
	f.Add(answered(f, record, 8, []byte("hello")))
	f.Add(answered(f, record, NoRecord, nil))
	f.Fuzz(func(t *testing.T, wire []byte) {
		stream := func() *RangeStream { return rangesOf(bytes.NewReader(wire), nil) }
		squeezed := packed(t, stream(), false)
		if data, err := squeezed.ReceiveRange(file, nil); err == nil && len(data) != 5 {
			t.Errorf("%d bytes for a range of 5", len(data))
		}
		if data, err := stream().ReceiveRange(file, nil); err == nil && len(data) != 5 {
			t.Errorf("%d bytes for a range of 5", len(data))
		}
		if size, data, err := stream().ReceiveBlob(blob, nil); err == nil &&
			int64(len(data)) != min(10, max(size-3, 0)) {
			t.Errorf("%d bytes of a blob of %d", len(data), size)
		}
		if size, data, err := stream().ReceiveRecord(record, nil); err == nil &&
			int64(len(data)) != min(10, max(size-3, 0)) {
			t.Errorf("%d bytes of a record of %d", len(data), size)
		}
		for _, bare := range []bool{false, true} {
			asked := &RangeRequest{From: 100, Length: 5, Bare: bare}
			if same, err := stream().CompareRange(asked, []byte("four")); same {
				t.Errorf("too few bytes are the same: %v", err)
			}
		}
		if r, err := stream().ReceiveRequest(); err == nil && r == nil {
			t.Error("neither a request nor an error")
		}
		if h, err := stream().ReceiveHead(); err == nil && h.Code == 0 && newRangeHash(h.Digest) == nil {
			t.Errorf("taken with digest %q", h.Digest)
		}
	})
}
