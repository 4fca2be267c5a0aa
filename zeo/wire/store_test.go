package wire

import (
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
)

const (
	anOid    = "\x00\x00\x00\x00\x00\x00\x00\x01"
	aSerial  = "\x03\xe8\x00\x00\x00\x00\x00\x02"
	pickledA = "\x80\x03(K\x00\x88X\x06\x00\x00\x00storea(C\x08" + anOid + "C\x08" + aSerial + "B"
	packedA  = "\x94\x00\xc3\xa6storea\x94\xc4\x08" + anOid + "\xc4\x08" + aSerial + "\xc6"
)

// What ZEO's clients send, byte for byte. With the record taken out the message is the same call with an empty record.
func TestTheRecordOfALargeStoreIsFound(t *testing.T) {
	data := strings.Repeat("x", 70_000)
	const size = 70_000
	for _, c := range []struct {
		codec      Codec
		head, tail string
		method     string
	}{
		{pickled{}, pickledA + "\x70\x11\x01\x00", "K*tt.", "storea"},
		{packed{}, packedA + "\x00\x01\x11\x70", "*", "storea"},
		{pickled{}, strings.Replace(pickledA, "X\x06\x00\x00\x00storea", "X\x08\x00\x00\x00restorea", 1) + "\x70\x11\x01\x00", "NK*tt.",
			"restorea"},
		{packed{}, strings.Replace(packedA, "\xa6storea\x94", "\xa8restorea\x95", 1) + "\x00\x01\x11\x70", "\xc0*", "restorea"},
	} {
		message := c.head + data + c.tail
		s, ok := c.codec.LargeStore([]byte(message[:StoreHead]))
		if !ok || s.Size != size || message[s.At:s.At+s.Size] != data {
			t.Errorf("%s: %+v, %v", c.method, s, ok)
			continue
		}
		m, err := c.codec.Decode(append(s.Before, c.tail...))
		if err != nil || m.Method != c.method || len(m.Args.(pickle.Tuple)[2].(pickle.Bytes)) != 0 {
			t.Errorf("%s: without the record it is %+v, %v", c.method, m, err)
		}
		whole, err := c.codec.Decode([]byte(message))
		if err != nil || string(whole.Args.(pickle.Tuple)[2].(pickle.Bytes)) != data {
			t.Errorf("%s: %v", c.method, err)
		}
	}
}

func TestOtherMessagesAreNoLargeStores(t *testing.T) {
	for _, head := range []string{
		"", "storea", pickledA, strings.Replace(pickledA, "storea(", "storea[", 1), strings.Replace(pickledA, "C\x08", "C\x07", 1) + "\xff\xff\xff\xff",
		packedA, strings.Replace(packedA, "storea", "vote..", 1) + "\xff\xff\xff\xff", strings.Repeat("storea", 20),
	} {
		for _, codec := range []Codec{pickled{}, packed{}} {
			if s, ok := codec.LargeStore([]byte(head)); ok {
				t.Errorf("%q is taken for %+v", head, s)
			}
		}
	}
}
