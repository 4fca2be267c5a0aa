package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSizedMessagesComeBack(t *testing.T) {
	var wire bytes.Buffer
	messages := [][]byte{{}, []byte("a"), bytes.Repeat([]byte("b"), 1000)}
	for _, m := range messages {
		if err := WriteSized(&wire, m); err != nil {
			t.Fatal(err)
		}
	}
	r := iotest.OneByteReader(&wire)
	var buf []byte
	for _, want := range messages {
		var err error
		if buf, err = ReadSized(r, buf, 1000); err != nil || !bytes.Equal(buf, want) {
			t.Fatalf("got %q, %v, want %q", buf, err, want)
		}
	}
	if _, err := ReadSized(r, buf, 1000); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestAMessageAboveTheLimitIsRefusedUnread(t *testing.T) {
	wire := bytes.NewReader(append(binary.BigEndian.AppendUint32(nil, 1<<31), "rest"...))
	_, err := ReadSized(wire, nil, 64)
	var large *TooLargeError
	if !errors.As(err, &large) || large.Size != 1<<31 || large.Max != 64 {
		t.Fatalf("got %v", err)
	}
	if wire.Len() != len("rest") {
		t.Errorf("%d bytes of it were read", len("rest")-wire.Len())
	}
}

func TestAMessageCutShortIsAnUnexpectedEnd(t *testing.T) {
	var wire bytes.Buffer
	if err := WriteSized(&wire, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < wire.Len(); n++ {
		if _, err := ReadSized(bytes.NewReader(wire.Bytes()[:n]), nil, 64); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func FuzzSized(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte("\x00\x00\x00\x06zrsd/1"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, wire []byte) {
		const limit = 100
		got, err := ReadSized(bytes.NewReader(wire), nil, limit)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteSized(&again, got); err != nil {
			t.Fatal(err)
		}
		if len(got) > limit || !bytes.HasPrefix(wire, again.Bytes()) {
			t.Errorf("%q was read as %q", wire, got)
		}
	})
}
