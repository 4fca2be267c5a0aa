package protocol

import (
	"bytes"
	"errors"
	"testing"
)

func TestDataOfARecordArriveOnlyAsTheAnswerToTheirRequest(t *testing.T) {
	r := &RecordRequest{Oid: 1, Tid: 2, Offset: 3, Length: 10}
	wire := answered(t, r, 8, []byte("hello"))
	size, data, err := rangesOf(bytes.NewReader(wire), nil).ReceiveRecord(r, nil)
	if err != nil || size != 8 || string(data) != "hello" {
		t.Fatalf("%d, %q, %v", size, data, err)
	}
	for _, other := range []*RecordRequest{
		{Oid: 2, Tid: 2, Offset: 3, Length: 10}, {Oid: 1, Tid: 3, Offset: 3, Length: 10},
		{Oid: 1, Tid: 2, Offset: 2, Length: 10}, {Oid: 1, Tid: 2, Offset: 3, Length: 4},
		{Oid: 1, Tid: 2, Offset: 3, Length: 10, Text: true},
	} {
		var damage *RangeError
		if _, _, err := rangesOf(bytes.NewReader(wire), nil).ReceiveRecord(other, nil); !errors.As(err, &damage) {
			t.Errorf("as the answer to %+v: %v", other, err)
		}
	}
}

// More than was asked for, or than there is, is no answer; nor is a size that cannot be.
func TestAnAnswerAboutARecordIsNoLongerThanWasAskedFor(t *testing.T) {
	r := &RecordRequest{Oid: 1, Tid: 2, Length: 5}
	for _, c := range []struct {
		size int64
		data string
	}{{8, "too much"}, {8, "few"}, {3, "hello"}, {-2, ""}, {NoRecord, "hello"}, {0, "x"}} {
		var damage *RangeError
		wire := answered(t, r, c.size, []byte(c.data))
		if _, _, err := rangesOf(bytes.NewReader(wire), nil).ReceiveRecord(r, nil); !errors.As(err, &damage) {
			t.Errorf("%q of %d bytes: %v", c.data, c.size, err)
		}
	}
	size, data, err := rangesOf(bytes.NewReader(answered(t, r, NoRecord, nil)), nil).ReceiveRecord(r, nil)
	if err != nil || size != NoRecord || len(data) != 0 {
		t.Errorf("none: %d, %q, %v", size, data, err)
	}
}

func TestDataOfARecordAreComparedByTheirDigest(t *testing.T) {
	r := &RecordRequest{Oid: 1, Tid: 2, Length: 10, Bare: true}
	wire := answered(t, r, 5, []byte("hello"))
	for have, want := range map[string]bool{"hello": true, "hallo": false, "hell": false, "": false} {
		size, same, err := rangesOf(bytes.NewReader(wire), nil).CompareRecord(r, []byte(have))
		if err != nil || size != 5 || same != want {
			t.Errorf("%q: %d, %v, %v", have, size, same, err)
		}
	}
}
