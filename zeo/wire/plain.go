package wire

import (
	"encoding/binary"
	"math"

	"github.com/zrsd/zrsd/internal/pickle"
)

// Nearly all calls besides loads are those of commits: tuples of a few numbers, texts and bytes. They are read here, in
// one go and with next to nothing allocated. Whatever is of another kind, or wrong, is left to the general way, with
// which this one agrees about all that it takes.

// A plain reads one message.
type plain struct {
	b      []byte // what is left
	stack  [16]pickle.Value
	n      int // values on the stack
	marks  [3]int
	marked int // marks
	tuples int
}

// maxTuples bounds how deep they can be in each other, besides how many there are.
const maxTuples = 4

func (p *plain) push(v pickle.Value) bool {
	if p.n == len(p.stack) {
		return false
	}
	p.stack[p.n] = v
	p.n++
	return true
}

// tuple makes one of what is on the stack from there on.
func (p *plain) tuple(from int) bool {
	if p.tuples++; from < 0 || p.tuples > maxTuples {
		return false
	}
	t := append(pickle.Tuple{}, p.stack[from:p.n]...)
	p.n = from
	return p.push(t)
}

// take returns the next n bytes.
func (p *plain) take(n uint64) (b []byte, ok bool) {
	if n > uint64(len(p.b)) {
		return nil, false
	}
	b, p.b = p.b[:n:n], p.b[n:]
	return b, true
}

// number reads one of size bytes in either order.
func (p *plain) number(size uint64, order binary.ByteOrder) (n uint64, ok bool) {
	b, ok := p.take(size)
	if !ok {
		return 0, false
	}
	switch size {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(order.Uint16(b)), true
	case 4:
		return uint64(order.Uint32(b)), true
	}
	return order.Uint64(b), true
}

// plainPickle reads a message if it is plain.
func plainPickle(b []byte) (pickle.Value, bool) {
	if len(b) < 3 || b[0] != '\x80' || b[1] != 3 {
		return nil, false
	}
	p := plain{b: b[2:]}
	for len(p.b) > 0 {
		op := p.b[0]
		if p.b = p.b[1:]; op == '.' {
			return p.stack[0], p.n == 1 && p.marked == 0 && len(p.b) == 0
		}
		if !p.opcode(op) {
			return nil, false
		}
	}
	return nil, false
}

// opcode does one of a pickle.
func (p *plain) opcode(op byte) bool {
	switch op {
	case '(':
		if p.marked == len(p.marks) {
			return false
		}
		p.marks[p.marked] = p.n
		p.marked++
		return true
	case 't':
		if p.marked == 0 {
			return false
		}
		p.marked--
		return p.tuple(p.marks[p.marked])
	case '\x85', '\x86', '\x87':
		from := p.n - int(op-'\x84')
		return (p.marked == 0 || from >= p.marks[p.marked-1]) && p.tuple(from)
	case ')':
		return p.tuple(p.n)
	case '}':
		return p.push(&pickle.Dict{})
	case 'N':
		return p.push(nil)
	case '\x88', '\x89':
		return p.push(op == '\x88')
	case 'X':
		n, ok := p.number(4, binary.LittleEndian)
		b, all := p.take(n)
		return ok && all && ascii(b) && p.push(string(b))
	case 'C', 'B':
		size := uint64(1)
		if op == 'B' {
			size = 4
		}
		n, ok := p.number(size, binary.LittleEndian)
		b, all := p.take(n)
		return ok && all && p.push(pickle.Bytes(b))
	}
	return p.pickledInt(op)
}

func (p *plain) pickledInt(op byte) bool {
	switch op {
	case 'K':
		n, ok := p.number(1, binary.LittleEndian)
		return ok && p.push(int64(n))
	case 'M':
		n, ok := p.number(2, binary.LittleEndian)
		return ok && p.push(int64(n))
	case 'J':
		n, ok := p.number(4, binary.LittleEndian)
		return ok && p.push(int64(int32(n)))
	case '\x8a': // the handles of transactions: 6 bytes, more or less
		size, ok := p.number(1, binary.LittleEndian)
		b, all := p.take(size)
		if !ok || !all || size == 0 || size > 8 {
			return false
		}
		var full [8]byte
		copy(full[:], b)
		shift := 64 - 8*size
		return p.push(int64(binary.LittleEndian.Uint64(full[:])) << shift >> shift)
	}
	return false
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c > 0x7f {
			return false
		}
	}
	return true
}

// plainPacked reads a message if it is plain.
func plainPacked(b []byte) (pickle.Value, bool) {
	p := plain{b: b}
	ok := p.packed()
	return p.stack[0], ok && len(p.b) == 0
}

// packed reads the next value of msgpack, and pushes it.
func (p *plain) packed() bool {
	if len(p.b) == 0 {
		return false
	}
	code := p.b[0]
	p.b = p.b[1:]
	switch {
	case code < 0x80, code >= 0xe0:
		return p.push(int64(int8(code)))
	case code == 0x80:
		return p.push(&pickle.Dict{})
	case 0x90 <= code && code <= 0x9f:
		from := p.n
		if p.marked++; p.marked > maxTuples {
			return false
		}
		for range code & 0xf {
			if !p.packed() {
				return false
			}
		}
		return p.tuple(from)
	case 0xa0 <= code && code <= 0xbf:
		b, ok := p.take(uint64(code & 0x1f))
		return ok && p.push(string(b))
	case code == 0xc0:
		return p.push(nil)
	case code == 0xc2, code == 0xc3:
		return p.push(code == 0xc3)
	case 0xc4 <= code && code <= 0xc6: // bytes
		n, ok := p.number(1<<(code-0xc4), binary.BigEndian)
		b, all := p.take(n)
		return ok && all && p.push(pickle.Bytes(b))
	case 0xcc <= code && code <= 0xcf: // without a sign
		n, ok := p.number(1<<(code-0xcc), binary.BigEndian)
		return ok && n <= math.MaxInt64 && p.push(int64(n))
	}
	return false
}
