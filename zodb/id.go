package zodb

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// An Oid is the id of an object, unique in its storage. Oid 0 is the root object.
type Oid uint64

// A Tid is the id of a transaction and the serial of every revision written by it. Tids rise along a file. Tid 0 stands
// for "before the first transaction".
type Tid uint64

// MaxTid is the tid that ZODB uses for "now" in loadBefore; real tids stay below it.
const MaxTid Tid = 0x7fffffffffffffff

// String returns 16 lower-case hexadecimal digits.
func (o Oid) String() string { return fmt.Sprintf("%016x", uint64(o)) }

// String returns 16 lower-case hexadecimal digits.
func (t Tid) String() string { return fmt.Sprintf("%016x", uint64(t)) }

// Stamp returns the time in t as people read it.
func (t Tid) Stamp() string { return t.Time().UTC().Format("2006-01-02 15:04:05.000 UTC") }

// Bytes returns the 8 big-endian bytes of files and wires.
func (o Oid) Bytes() [8]byte { return idBytes(uint64(o)) }

// Bytes returns the 8 big-endian bytes of files and wires.
func (t Tid) Bytes() [8]byte { return idBytes(uint64(t)) }

// MarshalText makes JSON and logs show the 16 digits of String.
func (o Oid) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// MarshalText makes JSON and logs show the 16 digits of String.
func (t Tid) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (o *Oid) UnmarshalText(text []byte) (err error) {
	*o, err = ParseOid(string(text))
	return err
}

// UnmarshalText reads what MarshalText writes.
func (t *Tid) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTid(string(text))
	return err
}

// ParseOid reads 1 to 16 hexadecimal digits, with or without a leading 0x.
func ParseOid(s string) (Oid, error) {
	n, err := parseID(s)
	if err != nil {
		return 0, fmt.Errorf("oid %q: want up to 16 hexadecimal digits", s)
	}
	return Oid(n), nil
}

// ParseTid reads 1 to 16 hexadecimal digits, with or without a leading 0x.
func ParseTid(s string) (Tid, error) {
	n, err := parseID(s)
	if err != nil {
		return 0, fmt.Errorf("tid %q: want up to 16 hexadecimal digits", s)
	}
	return Tid(n), nil
}

func idBytes(n uint64) (b [8]byte) {
	binary.BigEndian.PutUint64(b[:], n)
	return b
}

func parseID(s string) (uint64, error) {
	if len(s) > 2 && s[:2] == "0x" {
		s = s[2:]
	}
	return strconv.ParseUint(s, 16, 64)
}
