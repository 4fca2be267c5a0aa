package pickle

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Load reads a pickle, which must end where data ends. Errors are *syntaxError and *LimitError. Bytes and ByteStrings
// of the result are parts of data.
func Load(data []byte, lim Limits) (Value, error) {
	v, rest, err := LoadPrefix(data, lim)
	if err == nil && len(rest) > 0 {
		err = &syntaxError{len(data) - len(rest), fmt.Sprintf("%d bytes after the end", len(rest))}
	}
	return v, err
}

// LoadPrefix reads the first pickle of data, as Load does, and returns what is after it.
func LoadPrefix(data []byte, lim Limits) (v Value, rest []byte, err error) {
	m, err := newMachine(data, lim)
	if err != nil {
		return nil, nil, err
	}
	v, err = m.next()
	return v, data[m.at:], err
}

// LoadRecord reads the record of a ZODB object: two pickles with one memo, of what makes the object and of its state.
// Errors are those of Load.
func LoadRecord(data []byte, lim Limits) (class, state Value, err error) {
	m, err := newMachine(data, lim)
	if err != nil {
		return nil, nil, err
	}
	if class, err = m.next(); err != nil {
		return nil, nil, err
	}
	if state, err = m.next(); err == nil && m.at < len(data) {
		err = &syntaxError{m.at, fmt.Sprintf("%d bytes after the end", len(data)-m.at)}
	}
	return class, state, err
}

func newMachine(data []byte, lim Limits) (*machine, error) {
	lim = lim.withDefaults()
	if len(data) > lim.Bytes {
		return nil, &LimitError{"bytes", lim.Bytes}
	}
	return &machine{in: data, lim: lim}, nil
}

// next runs the pickle that begins at m.at; the memo has what earlier ones put there.
func (m *machine) next() (Value, error) {
	m.stack, m.marks, m.proto, m.stopped = m.stack[:0], m.marks[:0], 0, false
	for !m.stopped && m.err == nil {
		m.step()
	}
	return m.result, m.err
}

// A slot is a value on the stack or in the memo, with how deep it is nested inside, as far as is known.
type slot struct {
	v     Value
	depth int
}

// A machine runs pickles that share a memo. The first error ends it; after it, everything that the steps pop is empty.
type machine struct {
	in      []byte
	at      int // of the next byte
	op      int // offset of the current opcode
	lim     Limits
	stack   []slot
	marks   []int // lengths of the stack
	memo    map[uint32]slot
	made    int
	proto   byte
	result  Value
	stopped bool
	err     error
}

func (m *machine) fail(format string, args ...any) {
	if m.err == nil {
		m.err = &syntaxError{m.op, fmt.Sprintf(format, args...)}
	}
}

func (m *machine) exceed(what string, limit int) {
	if m.err == nil {
		m.err = &LimitError{what, limit}
	}
}

// step runs one opcode.
func (m *machine) step() {
	m.op = m.at
	op := m.byte()
	if m.err != nil {
		return
	}
	for _, family := range []func(byte) bool{m.scalar, m.text, m.container, m.object, m.memory} {
		if family(op) {
			return
		}
	}
	m.fail("opcode %#x is not one of protocol %d or below", op, maxProtocol)
}

// take returns the next n bytes.
func (m *machine) take(n uint64) []byte {
	if m.err == nil && n > uint64(len(m.in)-m.at) {
		m.fail("%d bytes are announced and %d are left", n, len(m.in)-m.at)
	}
	if m.err != nil {
		return nil
	}
	b := m.in[m.at : m.at+int(n) : m.at+int(n)]
	m.at += int(n)
	return b
}

func (m *machine) byte() byte {
	if b := m.take(1); m.err == nil {
		return b[0]
	}
	return 0
}

func (m *machine) uint16() uint16 {
	if b := m.take(2); m.err == nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (m *machine) uint32() uint32 {
	if b := m.take(4); m.err == nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (m *machine) uint64() uint64 {
	if b := m.take(8); m.err == nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// line returns the bytes up to the next newline, which is skipped.
func (m *machine) line() []byte {
	for i, b := range m.in[m.at:] {
		if b == '\n' {
			line := m.take(uint64(i))
			m.at++
			return line
		}
	}
	m.fail("a line without an end")
	return nil
}

// push puts a new value on the stack that has values of the given depth inside.
func (m *machine) push(v Value, depth int) {
	if m.made++; m.made > m.lim.Values {
		m.exceed("values", m.lim.Values)
	}
	if depth > m.lim.Nesting {
		m.exceed("nesting", m.lim.Nesting)
	}
	m.stack = append(m.stack, slot{v, depth})
}

// floor is the length that the stack has at least: nothing below a mark is popped.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

func (m *machine) pop() slot {
	if m.err == nil && len(m.stack) <= m.floor() {
		m.fail("the stack is empty")
	}
	if m.err != nil {
		return slot{}
	}
	s := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return s
}

// top returns the uppermost slot for changes.
func (m *machine) top() *slot {
	if m.err == nil && len(m.stack) <= m.floor() {
		m.fail("the stack is empty")
	}
	if m.err != nil {
		return &slot{}
	}
	return &m.stack[len(m.stack)-1]
}

// popMark takes everything above the last mark, and the mark. The slots are valid until the next push.
func (m *machine) popMark() []slot {
	if m.err == nil && len(m.marks) == 0 {
		m.fail("there is no mark")
	}
	if m.err != nil {
		return nil
	}
	at := m.floor()
	m.marks = m.marks[:len(m.marks)-1]
	above := m.stack[at:]
	m.stack = m.stack[:at]
	return above
}

// values returns the values of slots and the depth of the deepest.
func values(slots []slot) (v []Value, depth int) {
	v = make([]Value, len(slots))
	for i, s := range slots {
		v[i] = s.v
		depth = max(depth, s.depth)
	}
	return v, depth
}

// memory runs the opcodes of the memo.
func (m *machine) memory(op byte) bool {
	switch op {
	case opPut:
		m.put(m.number())
	case opBinPut:
		m.put(uint32(m.byte()))
	case opLongPut:
		m.put(m.uint32())
	case opMemoize:
		m.put(uint32(len(m.memo)))
	case opGet:
		m.get(m.number())
	case opBinGet:
		m.get(uint32(m.byte()))
	case opLongGet:
		m.get(m.uint32())
	default:
		return false
	}
	return true
}

func (m *machine) number() uint32 {
	n, err := strconv.ParseUint(string(m.line()), 10, 32)
	if err != nil {
		m.fail("the number of a memo entry is none")
	}
	return uint32(n)
}

func (m *machine) put(n uint32) {
	s := *m.top()
	if m.made++; m.made > m.lim.Values {
		m.exceed("values", m.lim.Values)
	}
	if m.err != nil {
		return
	}
	if m.memo == nil {
		m.memo = make(map[uint32]slot)
	}
	m.memo[n] = s
}

func (m *machine) get(n uint32) {
	s, ok := m.memo[n]
	if !ok {
		m.fail("memo entry %d is empty", n)
		return
	}
	m.again(s)
}
