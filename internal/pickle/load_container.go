package pickle

// container runs the opcodes of marks, tuples, lists, dictionaries and sets.
func (m *machine) container(op byte) bool {
	switch op {
	case opMark:
		m.mark()
	case opPop:
		m.discard()
	case opPopMark:
		m.popMark()
	case opDup:
		m.again(*m.top())
	case opEmptyTuple:
		m.push(Tuple{}, 0)
	case opTuple:
		m.tuple(m.popMark())
	case opTuple1, opTuple2, opTuple3:
		m.shortTuple(int(op) - opTuple1 + 1)
	case opEmptyList:
		m.push(&List{}, 0)
	case opList:
		v, depth := values(m.popMark())
		m.push(&List{v}, depth+1)
	case opAppend:
		m.extend([]slot{m.pop()})
	case opAppends, opAddItems:
		m.extend(m.popMark())
	case opEmptyDict:
		m.push(&Dict{}, 0)
	case opDict:
		slots := m.popMark()
		m.push(&Dict{m.pairs(slots)}, deepest(slots)+1)
	case opSetItem:
		v := m.pop()
		m.update([]slot{m.pop(), v})
	case opSetItems:
		m.update(m.popMark())
	case opEmptySet:
		m.push(setOf(nil), 0)
	case opFrozenSet:
		v, depth := values(m.popMark())
		m.push(&Object{Make: MakeReduce, Class: Global{"builtins", "frozenset"}, Args: Tuple{&List{v}}}, depth+3)
	default:
		return false
	}
	return true
}

func (m *machine) mark() {
	if len(m.marks) >= m.lim.Nesting {
		m.exceed("nesting", m.lim.Nesting)
		return
	}
	m.marks = append(m.marks, len(m.stack))
}

// discard pops a value, or the mark when there is nothing above it.
func (m *machine) discard() {
	if len(m.marks) > 0 && len(m.stack) == m.floor() {
		m.marks = m.marks[:len(m.marks)-1]
		return
	}
	m.pop()
}

// again pushes a value that is there already.
func (m *machine) again(s slot) {
	if m.err == nil {
		m.push(s.v, s.depth)
	}
}

func (m *machine) tuple(slots []slot) {
	v, depth := values(slots)
	m.push(Tuple(v), depth+1)
}

func (m *machine) shortTuple(n int) {
	if m.err == nil && len(m.stack)-m.floor() < n {
		m.fail("a tuple of %d values, and the stack has fewer", n)
	}
	if m.err != nil {
		return
	}
	slots := m.stack[len(m.stack)-n:]
	m.stack = m.stack[:len(m.stack)-n]
	m.tuple(slots)
}

func deepest(slots []slot) (depth int) {
	for _, s := range slots {
		depth = max(depth, s.depth)
	}
	return depth
}

// extend appends to the list, set or object on top.
func (m *machine) extend(slots []slot) {
	v, depth := values(slots)
	switch c := m.container1(depth).(type) {
	case nil:
	case *List:
		c.Items = append(c.Items, v...)
	case *Object:
		c.extend(v)
	default:
		m.fail("appending to a %T", c)
	}
}

// extend appends to an object: into its argument when it is a set, which a pickle of protocol 4 fills after making it.
func (o *Object) extend(v []Value) {
	if list, ok := o.setItems(); ok {
		list.Items = append(list.Items, v...)
		return
	}
	o.Appended = append(o.Appended, v...)
}

func setOf(items []Value) *Object {
	return &Object{Make: MakeReduce, Class: Global{"builtins", "set"}, Args: Tuple{&List{items}}}
}

func (o *Object) setItems() (*List, bool) {
	if o.Class != (Global{"builtins", "set"}) {
		return nil, false
	}
	args, _ := o.Args.(Tuple)
	if len(args) != 1 {
		return nil, false
	}
	list, ok := args[0].(*List)
	return list, ok
}

// update puts keys and values into the dictionary or object on top.
func (m *machine) update(slots []slot) {
	pairs := m.pairs(slots)
	switch c := m.container1(deepest(slots)).(type) {
	case nil:
	case *Dict:
		c.Items = append(c.Items, pairs...)
	case *Object:
		c.Set = append(c.Set, pairs...)
	default:
		m.fail("setting items of a %T", c)
	}
}

// container1 returns the value on top, which gets contents of the given depth; nil after an error.
func (m *machine) container1(depth int) Value {
	s := m.top()
	if m.err == nil && s.v == nil {
		m.fail("filling None")
	}
	if s.depth = max(s.depth, depth+1); s.depth > m.lim.Nesting {
		m.exceed("nesting", m.lim.Nesting)
	}
	if m.err != nil {
		return nil
	}
	return s.v
}

func (m *machine) pairs(slots []slot) []Pair {
	if m.err == nil && len(slots)%2 != 0 {
		m.fail("a key without a value")
	}
	if m.err != nil {
		return nil
	}
	pairs := make([]Pair, 0, len(slots)/2)
	for i := 0; i < len(slots); i += 2 {
		pairs = append(pairs, Pair{slots[i].v, slots[i+1].v})
	}
	return pairs
}
