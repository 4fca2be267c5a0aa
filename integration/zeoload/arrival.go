package zeoload

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// An arrival is a message from the server: a reply, or a call of the server's. Its slices belong to the connection.
type arrival struct {
	id     byte     // of the call answered, when that was a number
	oid    zodb.Oid // of the call answered, when that was a load
	reply  bool
	failed bool
	method []byte
	rest   []byte // the result or the arguments, pickled, with the opcodes that end the message
}

var (
	prefix    = append(proto3, opMark)
	replyName = []byte(".reply")
)

// errShape says that a message is not made of the parts that the servers make theirs of.
var errShape = errors.New("not a message as servers write them")

// parse reads the message after its size. One that answers no call of ours is a call without a method.
func parse(body []byte) (a arrival, err error) {
	b, ok := bytes.CutPrefix(body, prefix)
	switch {
	case !ok || len(b) < 2:
		return a, fmt.Errorf("%w: %x", errShape, body[:min(len(body), 40)])
	case b[0] == opInt:
		a.id, b = b[1], b[2:]
	case len(b) > 21 && b[0] == opBytes && b[1] == 8:
		a.oid, b = oidOf(b[2:]), b[21:]
	default: // an id that we never give
		return a, nil
	}
	switch {
	case len(b) > 1 && b[0] == opInt:
		a.failed, b = b[1] != 0, b[2:]
	case len(b) > 0 && (b[0] == opTrue || b[0] == opFalse):
		b = b[1:]
	}
	if a.method, a.rest, ok = cutString(b); !ok {
		return a, fmt.Errorf("%w: %x", errShape, body[:min(len(body), 40)])
	}
	a.reply = bytes.Equal(a.method, replyName)
	return a, nil
}

// cutString reads text or bytes off the front of a pickle, or of msgpack: they have no code in common.
func cutString(b []byte) (s, rest []byte, ok bool) {
	var n uint32
	switch {
	case len(b) > 1 && b[0] == opBytes:
		n, b = uint32(b[1]), b[2:]
	case len(b) > 4 && (b[0] == opText || b[0] == opBytes4):
		n, b = binary.LittleEndian.Uint32(b[1:]), b[5:]
	case len(b) > 0 && b[0]&0xe0 == packStr:
		n, b = uint32(b[0]&0x1f), b[1:]
	case len(b) > 1 && (b[0] == packBin8 || b[0] == packStr8):
		n, b = uint32(b[1]), b[2:]
	case len(b) > 2 && b[0] == packBin16:
		n, b = uint32(binary.BigEndian.Uint16(b[1:])), b[3:]
	case len(b) > 4 && b[0] == packBin32:
		n, b = binary.BigEndian.Uint32(b[1:]), b[5:]
	default:
		return nil, b, false
	}
	if uint64(n) > uint64(len(b)) {
		return nil, b, false
	}
	return b[:n], b[n:], true
}

// tid reads the first of the arguments or the result as a tid.
func (a *arrival) tid() (zodb.Tid, error) {
	s, _, ok := cutString(a.rest)
	if a.failed || !ok || len(s) != 8 {
		return 0, fmt.Errorf("expected a tid, got %q (error: %v)", a.rest, a.failed)
	}
	return zodb.Tid(binary.BigEndian.Uint64(s)), nil
}

func oidOf(b []byte) zodb.Oid { return zodb.Oid(binary.BigEndian.Uint64(b)) }

// conflicts reports whether the answer to a vote is a list that is not empty, or cut off.
func (a *arrival) conflicts() bool {
	switch b := a.rest; {
	case len(b) == 0:
		return true
	case b[0] == packNone:
		return false
	case b[0]&0xf0 == packArray:
		return b[0] != packArray
	default:
		return len(b) < 2 || b[0] == ']' && b[1] != opTuple
	}
}

// answers is an error unless a is the reply, and no failure, to the call with this id.
func (a *arrival) answers(id byte, what string) error {
	if !a.reply || a.failed || a.id != id {
		return fmt.Errorf("%s: reply to call %d, failed: %v: %q", what, a.id, a.failed, a.rest)
	}
	return nil
}
