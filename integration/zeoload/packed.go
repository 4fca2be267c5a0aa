package zeoload

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The msgpack codes that messages of protocol M5 are made of, besides numbers up to 127, which are themselves.
const (
	packNone  = 0xc0
	packFalse = 0xc2
	packTrue  = 0xc3
	packFloat = 0xcb
	packBin8  = 0xc4
	packBin16 = 0xc5
	packBin32 = 0xc6
	packStr8  = 0xd9
	packStr   = 0xa0 // and the length, up to 31
	packArray = 0x90 // and the length, up to 15
	packMap   = 0x80 // as above
)

// pack turns a message of ours, which is a pickle after its size, into the same one in msgpack. Arrays say how long
// they are at their beginning, tuples at their end: so what is made is kept on a stack, until the message ends.
func pack(m []byte) ([]byte, error) {
	var p packer
	for b := m[sizeLen+len(proto3):]; len(b) > 0; {
		n, err := p.step(b)
		if err != nil {
			return nil, err
		}
		b = b[n:]
	}
	if len(p.stack) != 1 {
		return nil, errPack
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(p.stack[0]))), p.stack[0]...), nil
}

var errPack = errors.New("not a message as this package writes them")

type packer struct {
	stack [][]byte
	marks []int // lengths of the stack
}

func (p *packer) push(b ...byte) { p.stack = append(p.stack, b) }

// step does the first opcode of b and returns its length.
func (p *packer) step(b []byte) (int, error) {
	switch op := b[0]; op {
	case opMark:
		p.marks = append(p.marks, len(p.stack))
	case opNone:
		p.push(packNone)
	case opTrue:
		p.push(packTrue)
	case opFalse:
		p.push(packFalse)
	case opNoDict:
		p.push(packMap)
	case opInt:
		p.push(b[1])
		return 2, nil
	case opFloat:
		p.push(append([]byte{packFloat}, b[1:9]...)...)
		return 9, nil
	case opText, opBytes, opBytes4:
		s, rest, ok := cutString(b)
		if !ok {
			return 0, errPack
		}
		p.string(s, op == opText)
		return len(b) - len(rest), nil
	case opNoTuple:
		return 1, p.tuple(len(p.stack))
	case opTuple1, opTuple2, opTuple3:
		return 1, p.tuple(len(p.stack) - 1 - int(op-opTuple1))
	case opTuple:
		last := len(p.marks) - 1
		from := p.marks[last]
		p.marks = p.marks[:last]
		return 1, p.tuple(from)
	case opStop:
	default:
		return 0, fmt.Errorf("%w: opcode %q", errPack, op)
	}
	return 1, nil
}

func (p *packer) string(s []byte, text bool) {
	var b []byte
	switch n := len(s); {
	case text:
		b = append(b, packStr|byte(n))
	case n < 1<<8:
		b = append(b, packBin8, byte(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, packBin32), uint32(n))
	}
	p.push(append(b, s...)...)
}

// tuple makes one of what is on the stack from there on.
func (p *packer) tuple(from int) error {
	if from < 0 || len(p.stack)-from > 15 {
		return errPack
	}
	b := []byte{packArray | byte(len(p.stack)-from)}
	for _, part := range p.stack[from:] {
		b = append(b, part...)
	}
	p.stack = append(p.stack[:from], b)
	return nil
}

// parsePacked is parse for protocol M5.
func parsePacked(b []byte) (a arrival, err error) {
	wrong := fmt.Errorf("%w: %x", errShape, b[:min(len(b), 40)])
	if len(b) < 3 || b[0] != packArray|4 {
		return a, wrong
	}
	switch b = b[1:]; {
	case b[0] < 0x80:
		a.id, b = b[0], b[1:]
	case len(b) > 22 && b[0] == packArray|2 && b[1] == packBin8 && b[2] == 8:
		a.oid, b = oidOf(b[3:]), b[21:]
	default: // an id that we never give
		return a, nil
	}
	if a.failed = b[0] > 0 && b[0] < 0x80; !a.failed && b[0] != 0 && b[0] != packTrue && b[0] != packFalse {
		return a, wrong
	}
	var ok bool
	if a.method, a.rest, ok = cutString(b[1:]); !ok {
		return a, wrong
	}
	if a.reply = string(a.method) == string(replyName); !a.reply && len(a.rest) > 0 {
		a.rest = a.rest[1:] // that it is an array, of arguments
	}
	return a, nil
}
