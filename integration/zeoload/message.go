package zeoload

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// Pickle opcodes that the messages are made of: protocol 3, no memo.
const (
	opMark     = '('
	opTuple    = 't'
	opTuple1   = 0x85
	opTuple2   = 0x86
	opTuple3   = 0x87
	opNone     = 'N'
	opTrue     = 0x88
	opFalse    = 0x89
	opInt      = 'K' // one byte
	opText     = 'X' // 4 bytes length, little endian
	opBytes    = 'C' // 1 byte length
	opBytes4   = 'B' // 4 bytes length, little endian
	opNoTuple  = ')'
	opNoDict   = '}'
	opStop     = '.'
	sizeLen    = 4
	maxMessage = 64 << 20
)

var proto3 = []byte{0x80, 3}

// maxTid asks for the current revision.
const maxTid zodb.Tid = 1<<63 - 1

// A message is built front to back behind room for its size.
type message []byte

func newMessage() message { return append(make(message, sizeLen), append(proto3, opMark)...) }

func (m message) op(codes ...byte) message { return append(m, codes...) }

func (m message) text(s string) message {
	m = append(m, opText)
	m = binary.LittleEndian.AppendUint32(m, uint32(len(s)))
	return append(m, s...)
}

func (m message) bytes(b []byte) message {
	if len(b) < 256 {
		m = append(m, opBytes, byte(len(b)))
	} else {
		m = binary.LittleEndian.AppendUint32(append(m, opBytes4), uint32(len(b)))
	}
	return append(m, b...)
}

func (m message) id(n uint64) message {
	return binary.BigEndian.AppendUint64(append(m, opBytes, 8), n)
}

// end closes the outermost tuple and fills in the size.
func (m message) end() []byte {
	m = append(m, opTuple, opStop)
	binary.BigEndian.PutUint32(m, uint32(len(m)-sizeLen))
	return m
}

// call begins a call that wants a reply: its id, flag and method.
func call(id byte, method string) message { return newMessage().op(opInt, id, opFalse).text(method) }

// tell begins a call that wants none.
func tell(method string) message { return newMessage().op(opInt, 0, opTrue).text(method) }

func registerCall(storage string, readOnly bool) []byte {
	flag := byte(opFalse)
	if readOnly {
		flag = opTrue
	}
	return call(1, "register").text(storage).op(flag, opTuple2).end()
}

// loadCall asks for the current revision of oid. Its id is the pair of its arguments.
func loadCall(oid zodb.Oid) []byte {
	m := newMessage().id(uint64(oid)).id(uint64(maxTid)).op(opTuple2, opFalse).text("loadBefore")
	return m.id(uint64(oid)).id(uint64(maxTid)).op(opTuple2).end()
}

func beginCall(txn byte) []byte {
	m := tell("tpc_begin").op(opMark, opInt, txn).bytes(nil).bytes([]byte("load")).op(opNoDict, opNone)
	return m.text(" ").op(opTuple).end()
}

func storeCall(txn byte, oid zodb.Oid, serial zodb.Tid, record []byte) []byte {
	m := tell("storea").op(opMark).id(uint64(oid)).id(uint64(serial)).bytes(record)
	return m.op(opInt, txn, opTuple).end()
}

func voteCall(id, txn byte) []byte { return call(id, "vote").op(opInt, txn, opTuple1).end() }

func finishCall(id, txn byte) []byte { return call(id, "tpc_finish").op(opInt, txn, opTuple1).end() }

// A reply is what the generator looks at in a message from the server.
type reply struct {
	call   bool     // not a reply but a call of the server's, such as an invalidation
	id     byte     // of the call answered, when that was a number
	oid    zodb.Oid // of the call answered, when that was a load
	failed bool
	result []byte // pickled, with the opcodes that end the message
}

var replyName = []byte(message{}.text(".reply"))

// parse reads the message behind its size.
func parse(body []byte) (r reply, err error) {
	b, ok := bytes.CutPrefix(body, append(proto3, opMark))
	switch {
	case !ok || len(b) < 2:
		return r, fmt.Errorf("message %x is not a pickled tuple", body[:min(len(body), 40)])
	case b[0] == opInt:
		r.id, b = b[1], b[2:]
	case len(b) > 21 && b[0] == opBytes && b[1] == 8:
		r.oid, b = zodb.Oid(binary.BigEndian.Uint64(b[2:])), b[21:]
	default: // of an id that the generator never gives
		r.call = true
		return r, nil
	}
	if len(b) < 2 || b[0] != opInt {
		r.call = true
		return r, nil
	}
	r.failed, b = b[1] != 0, b[2:]
	if r.result, ok = bytes.CutPrefix(b, replyName); !ok {
		return r, fmt.Errorf("message %x is neither a reply nor a call", body[:min(len(body), 40)])
	}
	return r, nil
}

// tid reads a result that is 8 bytes.
func (r reply) tid() (zodb.Tid, error) {
	if r.failed || len(r.result) < 10 || r.result[0] != opBytes || r.result[1] != 8 {
		return 0, fmt.Errorf("expected a tid, got %q (error: %v)", r.result, r.failed)
	}
	return zodb.Tid(binary.BigEndian.Uint64(r.result[2:])), nil
}
