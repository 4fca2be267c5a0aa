package pickle

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// scalar runs the opcodes of None, booleans and numbers, and those that are about the pickle itself.
func (m *machine) scalar(op byte) bool {
	switch op {
	case opProto:
		if m.proto = m.byte(); m.proto > maxProtocol {
			m.fail("protocol %d", m.proto)
		}
	case opFrame:
		m.uint64() // frames help readers of streams
	case opStop:
		m.stopped, m.result = true, m.pop().v
	case opNone:
		m.push(nil, 0)
	case opNewTrue:
		m.push(true, 0)
	case opNewFalse:
		m.push(false, 0)
	case opInt:
		m.intLine(string(m.line()))
	case opBinInt:
		m.push(int64(int32(m.uint32())), 0)
	case opBinInt1:
		m.push(int64(m.byte()), 0)
	case opBinInt2:
		m.push(int64(m.uint16()), 0)
	case opLong:
		m.longLine(strings.TrimSuffix(string(m.line()), "L"))
	case opLong1:
		m.long(uint64(m.byte()))
	case opLong4:
		m.long(uint64(m.uint32()))
	case opFloat:
		m.floatLine(string(m.line()))
	case opBinFloat:
		if b := m.take(8); m.err == nil {
			m.push(math.Float64frombits(binary.BigEndian.Uint64(b)), 0)
		}
	default:
		return false
	}
	return true
}

// intLine reads the text of an integer, of which two are booleans.
func (m *machine) intLine(s string) {
	switch s {
	case "00":
		m.push(false, 0)
	case "01":
		m.push(true, 0)
	default:
		m.longLine(s)
	}
}

func (m *machine) longLine(s string) {
	s = strings.TrimSpace(s)
	n, ok := new(big.Int), len(s) <= 3*maxLongLen
	if ok {
		n, ok = n.SetString(s, 10)
	}
	if !ok {
		m.fail("%.40q is not an integer", s)
		return
	}
	m.push(normal(n), 0)
}

// long reads an integer of n bytes, little endian, two's complement.
func (m *machine) long(n uint64) {
	if n > maxLongLen {
		m.fail("an integer of %d bytes", n)
		return
	}
	b := slices.Clone(m.take(n))
	slices.Reverse(b)
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	m.push(normal(v), 0)
}

// normal returns small integers as int64.
func normal(n *big.Int) Value {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

func (m *machine) floatLine(s string) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		m.fail("%.40q is not a float", s)
		return
	}
	m.push(f, 0)
}
