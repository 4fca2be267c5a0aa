package references

const opStop = '.'

// A group is of opcodes, by what they do to the stack.
type group uint8

const (
	pushes group = iota // what is in the pickle after it, as most do; also that of opcodes that are not known
	makes               // a value of others, or takes one into or out of the memo
	takes               // values away, or does nothing to them
)

// groups has the group of each opcode.
var groups = grouped()

func grouped() (of [256]group) {
	for _, op := range []byte("\x80\x95(01ueabs2PQ\x90") {
		of[op] = takes
	}
	for _, op := range []byte("pqr\x94ghj)t\x85\x86\x87]ldo\x91R\x81\x93\x92") {
		of[op] = makes
	}
	return of
}

// step executes one opcode of protocols 0 to 5, but for buffers outside of the pickle.
func (s *Scanner) step(op byte) {
	switch groups[op] {
	case pushes:
		s.literal(op)
	case makes:
		s.make(op)
	case takes:
		s.takeAway(op)
	}
}

// takeAway executes an opcode that takes values away, or does nothing to them.
func (s *Scanner) takeAway(op byte) {
	switch op {
	case 0x80: // PROTO
		s.skip(1)
	case 0x95: // FRAME
		s.skip(8)
		if s.in != nil {
			s.in.Frames = append(s.in.Frames, s.op)
		}
	case '(': // MARK
		s.marks = append(s.marks, len(s.stack))
	case '0': // POP, which may be of a mark
		if n := len(s.marks); n > 0 && s.marks[n-1] == len(s.stack) {
			s.marks = s.marks[:n-1]
		} else {
			s.pop()
		}
	case '1', 'u', 0x90: // POP_MARK, SETITEMS, ADDITEMS
		s.popMark()
	case 'e': // APPENDS
		s.fill(s.popMark())
	case 'a': // APPEND
		v := s.pop()
		s.fill([]value{v})
	case 'b': // BUILD
		s.pop()
	case 's': // SETITEM
		s.drop(2)
	case '2': // DUP
		v := s.pop()
		s.stack = append(s.stack, v, v)
	case 'P': // PERSID
		s.refer(text(s.line()))
		s.push(other)
	case 'Q': // BINPERSID
		s.refer(s.pop())
		s.push(other)
	}
}

// make executes an opcode that pushes a value, or takes one into or out of the memo.
func (s *Scanner) make(op byte) {
	switch op {
	case 'p': // PUT
		s.put(s.decimal())
	case 'q': // BINPUT
		s.put(s.uint(1))
	case 'r': // LONG_BINPUT
		s.put(s.uint(4))
	case 0x94: // MEMOIZE
		s.put(uint64(len(s.memo)))
	case 'g': // GET
		s.get(s.decimal())
	case 'h': // BINGET
		s.get(s.uint(1))
	case 'j': // LONG_BINGET
		s.get(s.uint(4))
	case ')': // EMPTY_TUPLE
		s.push(other)
	case 't': // TUPLE
		s.pushTuple(s.popMark())
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		s.tupleOf(int(op) - 0x84)
	case ']': // EMPTY_LIST
		s.push(list)
	case 'l': // LIST
		items := s.popMark()
		var room [2]value
		n := copy(room[:], items)
		s.push(list)
		if len(items) == n {
			s.fill(room[:n])
		}
	case 'd', 'o', 0x91: // DICT, OBJ, FROZENSET
		s.popMark()
		s.push(other)
	case 'R': // REDUCE
		s.reduce()
	case 0x81: // NEWOBJ
		s.drop(2)
		s.push(other)
	case 0x93: // STACK_GLOBAL
		name, module := s.pop(), s.pop()
		v := value{shape: shape{kind: global}}
		if s.in != nil {
			v.class = s.in.named(Stack, s.op, s.pos, module.text, name.text)
		}
		s.stack = append(s.stack, v)
	case 0x92: // NEWOBJ_EX
		s.drop(3)
		s.push(other)
	}
}

// literal executes an opcode that pushes what is in the pickle after it.
func (s *Scanner) literal(op byte) {
	k := value{}
	switch op {
	case 'N', '}', 0x88, 0x89, 0x8f: // NONE, EMPTY_DICT, NEWTRUE, NEWFALSE, EMPTY_SET
	case 'K', 0x82: // BININT1, EXT1
		s.skip(1)
	case 'M', 0x83: // BININT2, EXT2
		s.skip(2)
	case 'J', 0x84: // BININT, EXT4
		s.skip(4)
	case 'G': // BINFLOAT
		s.skip(8)
	case 'I', 'L', 'F': // INT, LONG, FLOAT
		s.line()
	case 0x8a: // LONG1
		s.take(s.uint(1))
	case 0x8b: // LONG4
		s.take(s.uint(4))
	case 'c': // GLOBAL
		module, name := s.line(), s.line()
		s.pushGlobal(module, name)
		return
	case 'i': // INST
		module, name := s.line(), s.line()
		s.popMark()
		if s.in != nil {
			s.in.literal(s.op, s.pos, module, name)
		}
	case 'U', 'C': // SHORT_BINSTRING, SHORT_BINBYTES
		k = s.spanned(byteString, s.uint(1))
	case 'T', 'B': // BINSTRING, BINBYTES
		k = s.spanned(byteString, s.uint(4))
	case 0x8e: // BINBYTES8
		k = s.spanned(byteString, s.uint(8))
	case 0x96: // BYTEARRAY8
		s.take(s.uint(8))
	case 0x8c: // SHORT_BINUNICODE
		k = s.spanned(text, s.uint(1))
	case 'X': // BINUNICODE
		k = s.spanned(text, s.uint(4))
	case 0x8d: // BINUNICODE8
		k = s.spanned(text, s.uint(8))
	case 'S': // STRING
		k = byteString(unquote(s.line()))
	case 'V': // UNICODE
		k = latin(unescape(s.line()))
	default:
		s.fail("opcode 0x%02x is not known", op)
	}
	s.stack = append(s.stack, k)
}

// pushGlobal pushes the class, or the function, that the opcode before pos names.
func (s *Scanner) pushGlobal(module, name []byte) {
	v := value{shape: shape{kind: global}}
	if string(module) == "_codecs" && string(name) == "encode" {
		v.kind = encode
	}
	if s.in != nil {
		v.class = s.in.literal(s.op, s.pos, module, name)
	}
	s.stack = append(s.stack, v)
}
