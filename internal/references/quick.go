package references

import (
	"bytes"
	"encoding/binary"

	"github.com/zrsd/zrsd/zodb"
)

// An action is what quick does for an opcode.
type action uint8

const (
	leave action = iota // it to step
	work                // with values: see quickly
	// These push a value that is no part of a persistent id, and have so many bytes after the opcode.
	plain0
	plain1
	plain2
	_
	plain4
	proto
	mark
	enter // the uppermost value into the memo
	get   // one from the memo
	drop2 // takes two values away
	// These push a string. Which are texts is known by text1.
	short // with 1 byte for its length
	long  // with 4 bytes
	text1
	text4
)

// quickOps are the actions of all opcodes.
var quickOps = [256]action{
	'N': plain0, '}': plain0, ')': plain0, 0x88: plain0, 0x89: plain0, 0x8f: plain0,
	'K': plain1, 'M': plain2, 'J': plain4,
	0x80: proto, '(': mark, 'q': enter, 'h': get, 's': drop2,
	'U': short, 'C': short, 'T': long, 'B': long, 0x8c: text1, 'X': text4,
	'a': work, 'b': work, 'c': work, 'e': work, 'j': work, 'r': work, 't': work, 'u': work, 'Q': work, ']': work,
	0x81: work, 0x85: work, 0x86: work, 0x87: work, 0x94: work,
}

// quick executes opcodes as step does, as far as they are of the kinds that records are mostly made of and nothing is
// wrong with them. At the first other one it ends, for step to execute that, or to say what is wrong. So nothing here
// finds an error, and nothing is found here that step would not find.
//
// It keeps in variables of its own what every opcode needs, and makes no call for most of them. That makes a pass over
// a storage several times as fast.
func (s *Scanner) quick() {
	d, p, stack, base := s.data, s.pos, s.stack, s.base()
loop:
	for p < len(d)-4 {
		var n, at int // of a string
		a := quickOps[d[p]]
		switch a {
		case plain0, plain1, plain2, plain4:
			stack, p = append(stack, value{}), p+1+int(a-plain0)
			continue
		case proto:
			p += 2
			continue
		case mark:
			base, p = len(stack), p+1
			s.marks = append(s.marks, base)
			continue
		case enter:
			if int(d[p+1]) != len(s.memo) || len(s.memo) >= len(d) || len(stack) == base {
				break loop
			}
			s.memo, p = append(s.memo, stack[len(stack)-1]), p+2
			continue
		case drop2:
			if len(stack)-base < 2 {
				break loop
			}
			stack, p = stack[:len(stack)-2], p+1
			continue
		case short, text1:
			n, at = int(d[p+1]), p+2
		case long, text4:
			n, at = int(binary.LittleEndian.Uint32(d[p+1:])), p+5
		case get:
			if i := int(d[p+1]); i < len(s.memo) && (s.in == nil || s.memo[i].kind != global) {
				stack, p = append(stack, s.memo[i]), p+2
				continue
			}
			fallthrough
		case work:
			s.stack, s.pos, s.op = stack, p+1, p
			if !s.quickly(d[p], base) {
				break loop
			}
			stack, p, base = s.stack, s.pos, s.base()
			continue
		default:
			break loop
		}
		if n > len(d)-at {
			break
		}
		if b := d[at : at+n]; a >= text1 {
			stack, p = append(stack, textAt(b, at)), at+n
		} else {
			stack, p = append(stack, bytesAt(b, at)), at+n
		}
	}
	s.stack, s.pos = stack, p
}

// base is how many values lie below the uppermost mark.
func (s *Scanner) base() int {
	if n := len(s.marks); n > 0 {
		return s.marks[n-1]
	}
	return 0
}

// quickly executes an opcode that works on values, if that is one of quick. pos is after it, and op at it.
func (s *Scanner) quickly(op byte, base int) bool {
	top := len(s.stack)
	above := top - base
	switch op {
	case 'h', 'j', 'r', 0x94: // BINGET, LONG_BINGET, LONG_BINPUT, MEMOIZE
		return s.quickMemo(op, above)
	case ']': // EMPTY_LIST
		s.push(list)
	case 'a', 'b': // APPEND, BUILD
		if above < 1 {
			return false
		}
		items := s.stack[top-1:]
		s.stack = s.stack[:top-1]
		if op == 'a' {
			s.fill(items)
		}
	case 0x81: // NEWOBJ
		if above < 2 {
			return false
		}
		s.stack[top-2] = value{}
		s.stack = s.stack[:top-1]
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		n := int(op) - 0x84
		if above < n {
			return false
		}
		items := s.stack[top-n:]
		s.stack = s.stack[:top-n]
		s.pushTuple(items)
	case 't', 'u', 'e': // TUPLE, SETITEMS, APPENDS
		if len(s.marks) == 0 {
			return false
		}
		switch items := s.popMark(); op {
		case 't':
			s.pushTuple(items)
		case 'e':
			s.fill(items)
		}
	case 'Q': // BINPERSID
		if above < 1 || !s.stack[top-1].refers() {
			return false
		}
		s.refer(s.stack[top-1])
		s.stack[top-1] = value{}
	case 'c': // GLOBAL
		return s.quickGlobal()
	}
	return true
}

// refers reports whether a value is a persistent id.
func (v *value) refers() bool {
	return v.kind == oid || v.kind == tuple || v.kind == both || v.kind == list
}

// quickMemo is quickly for the memo.
func (s *Scanner) quickMemo(op byte, above int) bool {
	next, i := s.pos, uint64(len(s.memo))
	switch op {
	case 'h':
		i, next = uint64(s.data[s.pos]), s.pos+1
	case 'j', 'r':
		i, next = uint64(binary.LittleEndian.Uint32(s.data[s.pos:])), s.pos+4
	}
	switch {
	case (op == 'h' || op == 'j') && i < uint64(len(s.memo)):
		s.pos = next
		s.get(i)
		return true
	case (op == 'r' || op == 0x94) && i == uint64(len(s.memo)) && i < uint64(len(s.data)) && above > 0:
		s.pos = next
		s.memo = append(s.memo, s.stack[len(s.stack)-1])
		return true
	}
	return false
}

// quickGlobal pushes a class, or a function.
func (s *Scanner) quickGlobal() bool {
	rest := s.data[s.pos:]
	m := bytes.IndexByte(rest, '\n')
	if m < 0 {
		return false
	}
	n := bytes.IndexByte(rest[m+1:], '\n')
	if n < 0 {
		return false
	}
	s.pos += m + n + 2
	s.pushGlobal(rest[:m], rest[m+1:][:n])
	return true
}

// bytesAt is the value of a string of bytes at a place in the record.
func bytesAt(b []byte, at int) (v value) {
	if len(b) == 8 {
		v.oid, v.kind = zodb.Oid(binary.BigEndian.Uint64(b)), oid
	}
	v.text = Span{At: uint32(at), Len: uint32(len(b))}
	return v
}

// textAt is the value of a text at a place in the record.
func textAt(b []byte, at int) (v value) {
	if len(b) <= longestOid && len(b) >= shortestCodec {
		v = text(b)
	}
	v.text = Span{At: uint32(at), Len: uint32(len(b))}
	return v
}
