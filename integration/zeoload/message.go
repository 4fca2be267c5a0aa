package zeoload

import (
	"encoding/binary"
	"math"
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
	opFloat    = 'G' // 8 bytes, big endian
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

// A message is built front to back after room for its size.
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

func (m message) float(f float64) message {
	return binary.BigEndian.AppendUint64(append(m, opFloat), math.Float64bits(f))
}

// id is an oid or a tid.
func (m message) id(n uint64) message {
	return binary.BigEndian.AppendUint64(append(m, opBytes, 8), n)
}

// end closes the outermost tuple and fills in the size.
func (m message) end() []byte {
	m = append(m, opTuple, opStop)
	binary.BigEndian.PutUint32(m, uint32(len(m)-sizeLen))
	return m
}
