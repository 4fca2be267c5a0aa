package inside

// cycles returns the strongly connected sets of objects that cannot be reached from the root: Tarjan's algorithm, with
// a stack of its own instead of recursion. A single object is one where it refers to itself.
func (s *Survey) cycles(w *ways) (list [][]uint32) {
	t := tarjan{s: s, w: w, state: make(map[uint32]*visited)}
	for number := range uint32(s.oids.count) {
		if !w.reached(number) && t.state[number] == nil {
			list = append(list, t.from(number)...)
		}
	}
	return list
}

type visited struct {
	index, low int
	open       bool // on the stack of its set
	self       bool
}

type frame struct {
	number uint32
	to     []uint32
}

type tarjan struct {
	s     *Survey
	w     *ways
	state map[uint32]*visited
	count int
	open  []uint32
	work  []frame
}

func (t *tarjan) enter(number uint32) {
	t.count++
	t.state[number] = &visited{index: t.count, low: t.count, open: true}
	t.open = append(t.open, number)
	t.work = append(t.work, frame{number, t.s.edges.of(number, nil)})
}

func (t *tarjan) from(start uint32) (found [][]uint32) {
	t.enter(start)
	for len(t.work) > 0 {
		f := &t.work[len(t.work)-1]
		v := t.state[f.number]
		if len(f.to) > 0 {
			next := f.to[0]
			f.to = f.to[1:]
			t.follow(v, f.number, next)
			continue
		}
		t.work = t.work[:len(t.work)-1]
		if len(t.work) > 0 {
			above := t.state[t.work[len(t.work)-1].number]
			above.low = min(above.low, v.low)
		}
		if v.low == v.index {
			if members := t.closed(f.number); len(members) > 1 || v.self {
				found = append(found, members)
			}
		}
	}
	return found
}

func (t *tarjan) follow(v *visited, from, to uint32) {
	if t.w.reached(to) || !t.s.exists(to) {
		return
	}
	v.self = v.self || from == to
	switch other := t.state[to]; {
	case other == nil:
		t.enter(to)
	case other.open:
		v.low = min(v.low, other.index)
	}
}

// closed takes a set from the stack.
func (t *tarjan) closed(last uint32) (members []uint32) {
	for {
		n := t.open[len(t.open)-1]
		t.open = t.open[:len(t.open)-1]
		t.state[n].open = false
		members = append(members, n)
		if n == last {
			return members
		}
	}
}
