package references

import (
	"bytes"
	"encoding/binary"

	"github.com/zrsd/zrsd/zodb"
)

// An action is what quick does for an opcode.
type action uint8

const (
	_ action = iota // leave it to step

	// Nothing but the opcode belongs to these, or it is looked for.
	plain // pushes a value that is no part of a persistent id: see plainLen
	dict  // likewise, and often goes into the memo
	mark
	drop2 // takes two values away
	work  // with values: see quickly

	workOn // with values, and with what is after the opcode
	proto
	// These push a string. Which are texts is known by text1.
	short // with 1 byte for its length
	long  // with 4 bytes
	text1
	text4
)

// quickOps are the actions of all opcodes.
var quickOps = [256]action{
	'N': plain, ')': plain, 0x88: plain, 0x89: plain, 0x8f: plain, 'K': plain, 'M': plain, 'J': plain, 'G': plain,
	'}': dict, 0x80: proto, '(': mark, 'q': workOn, 's': drop2,
	'U': short, 'C': short, 'T': long, 'B': long, 0x8c: text1, 'X': text4,
	'a': work, 'b': work, 'c': workOn, 'e': work, 'h': workOn, 'j': workOn, 'r': workOn, 't': work, 'u': work,
	'Q': work, 'R': work, ']': work, 0x81: work, 0x85: work, 0x86: work, 0x87: work, 0x94: work,
}

// plainLen is how long opcodes are of which nothing is needed.
var plainLen = [256]uint8{
	'N': 1, ')': 1, 0x88: 1, 0x89: 1, 0x8f: 1, 'K': 2, 'M': 3, 'J': 5, 'G': 9,
}

// atHand is how many bytes have to be there for an opcode that more belongs to, except strings and floats: it and a
// number of four bytes.
const atHand = 5

// quick executes opcodes as step does, as far as they are of the kinds that records are mostly made of and nothing is
// wrong with them. At the first other one it ends, for step to execute that, or to say what is wrong. So nothing here
// finds an error, and nothing is found here that step would not find.
//
// It keeps in variables of its own what every opcode needs, and makes no call for most of them. That makes a pass over
// a storage several times as fast.
func (s *Scanner) quick() {
	d, p, stack, base := s.data, s.pos, s.stack, s.base()
loop:
	for p < len(d) {
		var n, at int // of a string
		a := quickOps[d[p]]
		if a > work && p > len(d)-atHand {
			break
		}
		switch a {
		case plain:
			if n = int(plainLen[d[p]]); n > len(d)-p {
				break loop
			}
			stack, p = append(stack, value{}), p+n
			continue
		case dict:
			at = p + 1
		case proto:
			p += 2
			continue
		case mark:
			base, p = len(stack), p+1
			s.marks = append(s.marks, base)
			continue
		case drop2:
			if len(stack)-base < 2 {
				break loop
			}
			stack, p = stack[:len(stack)-2], p+1
			continue
		case short, text1:
			if n, at = int(d[p+1]), p+2; n == 8 && a == short {
				if next := s.quickReference(p); next > 0 {
					stack, p = append(stack, value{}), next
					continue
				}
			}
		case long, text4:
			n, at = int(binary.LittleEndian.Uint32(d[p+1:])), p+5
		case work, workOn:
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
		v := stringAt(a, d[at:at+n], at)
		stack, p = append(stack, v), at+n
		if p < len(d)-1 && d[p] == 'q' && int(d[p+1]) == len(s.memo) && len(s.memo) < len(d) { // as most
			s.memo, p = append(s.memo, v), p+2
		}
	}
	s.stack, s.pos = stack, p
}

// shortestReference is how long the opcodes of quickReference are at least.
const shortestReference = 10 + 2 + 1 + 1

// quickReference executes at once the opcodes of a reference to an object with a class that is in the memo, and returns
// where they end. Where there are others, or anything is wrong, it does nothing and returns 0. What they leave on the
// stack is for the caller to push.
//
//	'C' 8 oid  [put]  get class  0x86  [put]  'Q'
//
// Each put and the get have one byte or four for their numbers.
func (s *Scanner) quickReference(p int) (next int) {
	d := s.data
	if len(d)-p < shortestReference {
		return 0
	}
	memo, puts, at := len(s.memo), 0, p+10
	if i, n := numbered(d[at:], 'q', 'r'); n > 0 {
		if i != uint32(memo) {
			return 0
		}
		puts, at = 1, at+n
	}
	i, n := numbered(d[at:], 'h', 'j')
	if n == 0 || uint64(i) >= uint64(memo) || s.memo[i].kind != global {
		return 0
	}
	class, classAt := s.memo[i].class, at
	if at += n; d[at] != 0x86 {
		return 0
	}
	at++
	j, m := numbered(d[at:], 'q', 'r')
	if at += m; d[at] != 'Q' || m > 0 && j != uint32(memo+puts) || memo+2 > len(d) {
		return 0
	}
	made := value{oid: zodb.Oid(binary.BigEndian.Uint64(d[p+2:])), shape: shape{kind: oid}}
	if puts > 0 {
		made.text = Span{At: uint32(p + 2), Len: 8}
		s.memo = append(s.memo, made)
		made.text = Span{}
	}
	made.kind = tuple
	switch in := s.in; {
	case in == nil:
		s.found = append(s.found, made.oid)
	case in.Brief:
		made.class = class
		in.References = append(in.References, Reference{Oid: made.oid, Class: int(class - 1)})
	default:
		made.class = in.again(class, classAt, classAt+n)
		in.refer(made)
	}
	if m > 0 {
		s.memo = append(s.memo, made)
	}
	return at + 1
}

// numbered reads an opcode with a number, of which there is a form with one byte and one with four, and returns the
// number and how long both are; length 0: it is none of both, or there is nothing after the longer one.
func numbered(b []byte, one, four byte) (number uint32, length int) {
	if len(b) <= atHand {
		return 0, 0
	}
	switch b[0] {
	case one:
		return uint32(b[1]), 2
	case four:
		return binary.LittleEndian.Uint32(b[1:]), 5
	}
	return 0, 0
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
	case 'h', 'j', 'q', 'r', 0x94: // BINGET, LONG_BINGET, BINPUT, LONG_BINPUT, MEMOIZE
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
	case 'R': // REDUCE
		if above < 2 {
			return false
		}
		s.reduce()
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
	case 'h', 'q':
		i, next = uint64(s.data[s.pos]), s.pos+1
	case 'j', 'r':
		i, next = uint64(binary.LittleEndian.Uint32(s.data[s.pos:])), s.pos+4
	}
	switch {
	case (op == 'h' || op == 'j') && i < uint64(len(s.memo)):
		s.pos = next
		s.get(i)
		return true
	case (op == 'q' || op == 'r' || op == 0x94) && i == uint64(len(s.memo)) && i < uint64(len(s.data)) && above > 0:
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

// stringAt is the value of a string at a place in the record, and of a dict.
func stringAt(a action, b []byte, at int) (v value) {
	if uint(len(b)-shortestCodec) <= longestOid-uint(shortestCodec) { // else its characters do not matter
		v = shortAt(a, b)
	}
	if a != dict {
		v.text = Span{At: uint32(at), Len: uint32(len(b))}
	}
	return v
}

func shortAt(a action, b []byte) (v value) {
	if a >= text1 {
		return text(b)
	}
	if len(b) == 8 {
		v.oid, v.kind = zodb.Oid(binary.BigEndian.Uint64(b)), oid
	}
	return v
}
