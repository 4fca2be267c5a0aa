package inside

import (
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// none is the parent of what cannot be reached, and of the root.
const none = ^uint32(0)

// ways are how objects are reached from the root, each on a shortest way.
type ways struct {
	parent []uint32 // by number
	order  []uint32 // what can be reached, the nearest first
	rooted bool     // there is a root
}

// walk finds them, when it is asked for the first time.
func (s *Survey) walk() *ways {
	if s.ways != nil {
		return s.ways
	}
	w := &ways{parent: make([]uint32, s.oids.count), order: make([]uint32, 0, s.oids.count)}
	for i := range w.parent {
		w.parent[i] = none
	}
	s.ways = w
	root, ok := s.oids.number(0)
	if !ok {
		return w
	}
	w.rooted = true
	w.order = append(w.order, root)
	var to []uint32
	for i := 0; i < len(w.order); i++ {
		from := w.order[i]
		to = s.edges.of(from, to[:0])
		for _, t := range to {
			if t != root && w.parent[t] == none {
				w.parent[t] = from
				w.order = append(w.order, t)
			}
		}
	}
	return w
}

// reached reports whether an object can be reached from the root.
func (w *ways) reached(number uint32) bool {
	return w.parent[number] != none || w.rooted && w.order[0] == number
}

// path returns the numbers from the root to an object; nil where it cannot be reached.
func (w *ways) path(number uint32) []uint32 {
	if !w.reached(number) {
		return nil
	}
	var path []uint32
	for ; number != none; number = w.parent[number] {
		path = append(path, number)
	}
	slices.Reverse(path)
	return path
}

// Referrer returns the class of the object that refers to another one on a shortest way from the root; false where
// there is none.
func (s *Survey) Referrer(oid zodb.Oid) (class string, ok bool) {
	number, ok := s.oids.number(oid)
	if !ok {
		return "", false
	}
	parent := s.walk().parent[number]
	if parent == none {
		return "", false
	}
	own, _ := s.class(parent)
	return s.name(own), true
}

// sums returns, by number, the bytes of each object and of all that is reached through it.
func (s *Survey) sums() []uint64 {
	w := s.walk()
	sums := make([]uint64, s.oids.count)
	for i, size := range s.sizes {
		sums[i] = uint64(size)
	}
	for _, number := range slices.Backward(w.order) {
		if parent := w.parent[number]; parent != none {
			sums[parent] += sums[number]
		}
	}
	return sums
}
