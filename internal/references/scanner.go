package references

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/zlibrecord"
	"github.com/zrsd/zrsd/zodb"
)

// A formatError says where a record is not what its format promises.
type formatError struct {
	pos    int // in the record
	reason string
}

func (e *formatError) Error() string {
	return fmt.Sprintf("byte %d of the record: %s", e.pos, e.reason)
}

// A kind is what matters about a value.
type kind uint8

const (
	other kind = iota // no part of a persistent id
	oid               // a string of 8 bytes
	tuple             // begins with one
	list
	global // a class, or a function

	// Python 3 writes bytes in protocols below 3 as a call: _codecs.encode(text, 'latin1').
	chars     // a text of 8 characters up to U+00FF, not all of them ASCII
	codec     // the text latin1
	encode    // the function
	encodable // the arguments, with chars
	both      // the arguments, with a text that is ASCII: a tuple, too
)

// A value is a Python object on the stack or in the memo. The fields of Contents are only for what Read returns:
//
//	text     the place of its characters in the record
//	class    of a class, and of a tuple with one inside: see Contents.class
//	form     of a list: the letter that it begins with
type value struct {
	oid   zodb.Oid
	text  Span
	class int32
	shape
}

// A shape is a part of a value: the compiler keeps a value in registers only as long as it has four fields at most.
type shape struct {
	kind kind
	form byte
}

// unpackLimit is how large a compressed record may be inside. Tests have less.
var unpackLimit int64 = zlibrecord.Limit

// A Scanner reads records one after the other and reuses its memory. The zero value is ready.
type Scanner struct {
	data  []byte
	pos   int // of the next byte
	stack []value
	marks []int // lengths of the stack where marks stand
	memo  []value
	found []zodb.Oid
	err   error
	op    int       // offset of the current opcode
	in    *Contents // nil: only oids are wanted
	slow  bool      // each opcode by step: for tests

	before int // length of found when the record began
	parts  classParts
}

// Scan reads records of zc.zlibstorage, too. It appends to oids the objects that the record refers to, in its order;
// one may come several times. The error is an *Error.
func (s *Scanner) Scan(record []byte, oids []zodb.Oid) ([]zodb.Oid, error) {
	record, err := zlibrecord.Unpack(record, unpackLimit)
	if err != nil {
		return oids, &formatError{reason: err.Error()}
	}
	s.begin(record)
	s.found, s.before = oids, len(oids)
	s.class()
	s.pickle()
	found := s.found
	s.data, s.found = nil, nil
	if s.err != nil {
		return oids, s.err
	}
	return found, nil
}

func (s *Scanner) begin(record []byte) {
	s.data, s.pos, s.found, s.err, s.in = record, 0, nil, nil, nil
	s.memo, s.before = s.memo[:0], 0
}

// pickle runs the next one and returns what it makes.
func (s *Scanner) pickle() value {
	s.stack, s.marks = s.stack[:0], s.marks[:0]
	for s.err == nil {
		if !s.slow {
			s.quick()
			if last := len(s.stack) - 1; s.pos < len(s.data) && s.data[s.pos] == opStop && last >= s.base() {
				s.op = s.pos
				s.pos++
				return s.stack[last]
			}
		}
		s.op = s.pos
		op := s.byte()
		if op == opStop {
			return s.pop()
		}
		s.step(op)
	}
	return value{}
}

func (s *Scanner) fail(reason string, args ...any) {
	if s.err == nil {
		s.err = &formatError{pos: s.pos, reason: fmt.Sprintf(reason, args...)}
	}
}

// refer takes note of a persistent id.
func (s *Scanner) refer(id value) {
	if s.in != nil {
		s.in.refer(id)
	}
	switch id.kind {
	case oid, tuple, both:
		if s.in == nil { // else they are in Contents
			s.found = append(s.found, id.oid)
		}
	case list:
	default:
		s.fail("a reference in no known form")
	}
}

func (s *Scanner) push(k kind) { s.stack = append(s.stack, value{shape: shape{kind: k}}) }

// pop takes the uppermost value, which must not stand below a mark.
func (s *Scanner) pop() value {
	base := 0
	if n := len(s.marks); n > 0 {
		base = s.marks[n-1]
	}
	last := len(s.stack) - 1
	if last < base {
		s.fail("a value is missing")
		return value{}
	}
	v := s.stack[last]
	s.stack = s.stack[:last]
	return v
}

func (s *Scanner) drop(n int) {
	for range n {
		s.pop()
	}
}

// popMark takes all values above the uppermost mark, and the mark. They are valid until the next push.
func (s *Scanner) popMark() []value {
	last := len(s.marks) - 1
	if last < 0 {
		s.fail("a mark is missing")
		return nil
	}
	at := s.marks[last]
	above := s.stack[at:]
	s.stack, s.marks = s.stack[:at], s.marks[:last]
	return above
}

// pushTuple pushes a tuple of these items.
func (s *Scanner) pushTuple(items []value) {
	made := value{}
	if len(items) > 0 {
		made = items[0]
	}
	call := len(items) == 2 && items[1].kind == codec
	switch {
	case made.kind == oid && call:
		made.kind = both
	case made.kind == oid:
		made.kind = tuple
	case made.kind == chars && call:
		made.kind = encodable
	default:
		made = value{}
	}
	made.text, made.class = Span{}, 0
	if s.in != nil {
		made.class = s.in.tuple(items, s.op, s.pos)
	}
	s.stack = append(s.stack, made)
}

// fill puts items into the list on top, of which a reference may be made: a letter, and what is referred to.
func (s *Scanner) fill(items []value) {
	last := len(s.stack) - 1
	if s.in == nil || last < 0 || s.stack[last].kind != list || len(items) > 2 {
		return
	}
	l := &s.stack[last]
	for _, v := range items {
		if v.text.Len == 1 && l.form == 0 {
			l.form = s.data[v.text.At]
		} else {
			l.oid, l.class = v.oid, v.class
		}
	}
}

// tupleOf makes a tuple of the uppermost n values.
func (s *Scanner) tupleOf(n int) {
	var items [3]value
	for i := n - 1; i >= 0; i-- {
		items[i] = s.pop()
	}
	s.pushTuple(items[:n])
}

// reduce calls a function, of which only the one matters that makes bytes of text.
func (s *Scanner) reduce() {
	args, function := s.pop(), s.pop()
	if function.kind == encode && (args.kind == encodable || args.kind == both) {
		s.stack = append(s.stack, value{oid: args.oid, shape: shape{kind: oid}})
		return
	}
	s.push(other)
}

// put enters the uppermost value into the memo.
func (s *Scanner) put(i uint64) {
	if i >= uint64(len(s.data)) {
		s.fail("memo number %d in a record of %d bytes", i, len(s.data))
		return
	}
	v := s.pop()
	if s.err != nil {
		return
	}
	s.stack = s.stack[:len(s.stack)+1] // where it still is
	if i == uint64(len(s.memo)) {      // as nearly always
		s.memo = append(s.memo, v)
		return
	}
	for uint64(len(s.memo)) <= i {
		s.memo = append(s.memo, value{})
	}
	s.memo[i] = v
}

// get pushes what is in the memo; nothing there is as good as a value that is no part of a persistent id, until it is
// used as one.
func (s *Scanner) get(i uint64) {
	if i >= uint64(len(s.memo)) {
		s.fail("nothing in the memo under %d", i)
		return
	}
	v := s.memo[i]
	if s.in != nil && v.kind == global {
		v.class = s.in.again(v.class, s.op, s.pos)
	}
	s.stack = append(s.stack, v)
}
