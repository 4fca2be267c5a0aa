package pickle

import "strconv"

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
