package wire

import (
	"bytes"
	"encoding/binary"
)

// A LargeStore is where the record of a storea or restorea call is in its message, so that it need not be decoded, nor
// be in memory as a whole.
type LargeStore struct {
	At   int64 // of the record, in the message without its size
	Size int64 // of the record
	// Before is what the message begins with when the record is empty: with what is after the record it can be
	// decoded.
	Before []byte
}

// StoreHead is how much of a message LargeStore looks at.
const StoreHead = 128

// The parts of such a message: the method, both ids, the record.
const (
	storeMethod = "storea" // restorea ends with it, too
	idsLen      = 2 * (2 + 8)
	recordHead  = 1 + 4
)

// parts finds the record after two ids of 8 bytes, each with its mark, when one of opens is between them and the
// method.
func parts(head []byte, opens, mark string, code byte, size func([]byte) uint32, empty string) (s LargeStore, ok bool) {
	at := bytes.Index(head, []byte(storeMethod))
	if at < 0 {
		return s, false
	}
	at += len(storeMethod)
	if len(head) < at+1+idsLen+recordHead || bytes.IndexByte([]byte(opens), head[at]) < 0 {
		return s, false
	}
	ids := head[at+1:]
	at += 1 + idsLen
	if string(ids[:2]) != mark || string(ids[idsLen/2:][:2]) != mark || head[at] != code {
		return s, false
	}
	s.Before = append(append(s.Before, head[:at]...), empty...)
	s.Size = int64(size(head[at+1:]))
	s.At = int64(at + recordHead)
	return s, true
}

func (pickled) LargeStore(head []byte) (LargeStore, bool) {
	return parts(head, "(", "C\x08", 'B', binary.LittleEndian.Uint32, "C\x00")
}

func (packed) LargeStore(head []byte) (LargeStore, bool) {
	return parts(head, "\x94\x95", "\xc4\x08", 0xc6, binary.BigEndian.Uint32, "\xc4\x00")
}
