package inside

import (
	"slices"
	"sync/atomic"

	"github.com/zrsd/zrsd/zodb"
)

// none is the parent of what cannot be reached, and of the root.
const none = ^uint32(0)

// ways are how objects are reached from the root, each on a shortest way.
type ways struct {
	parent []atomic.Uint32 // by number; atomic only for the pass, whose memory it was
	root   uint32          // none: there is none
}

// walk finds them, when it is asked for the first time.
func (s *Survey) walk() *ways {
	if s.ways != nil {
		return s.ways
	}
	w := &ways{parent: s.said, root: none}
	for i := range w.parent {
		w.parent[i].Store(none)
	}
	s.ways, s.said = w, nil
	root, ok := s.oids.number(0)
	if !ok {
		return w
	}
	w.root = root
	level, next := newNumberSet(s.oids.count), newNumberSet(s.oids.count)
	next.add(root)
	var to []uint32
	for !next.empty() {
		level, next = next, level
		level.drain(func(from uint32) {
			to = s.edges.of(from, to[:0])
			for _, t := range to {
				if t != root && w.above(t) == none {
					w.parent[t].Store(from)
					next.add(t)
				}
			}
		})
	}
	return w
}

// above returns the parent of an object, none where it has none.
func (w *ways) above(number uint32) uint32 { return w.parent[number].Load() }

// reached reports whether an object can be reached from the root.
func (w *ways) reached(number uint32) bool {
	return w.above(number) != none || w.root == number
}

// path returns the numbers from the root to an object; nil where it cannot be reached.
func (w *ways) path(number uint32) []uint32 {
	if !w.reached(number) {
		return nil
	}
	var path []uint32
	for ; number != none; number = w.above(number) {
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
	parent := s.walk().above(number)
	if parent == none {
		return "", false
	}
	own := s.classes[parent]
	return s.name(own), true
}

// upwards calls do for each object that has a parent, once it was called for all objects below it.
func (w *ways) upwards(do func(number, parent uint32)) {
	open := make([]uint32, len(w.parent)) // objects right below one that are to come
	for number := range uint32(len(w.parent)) {
		if parent := w.above(number); parent != none {
			open[parent]++
		}
	}
	for i := range w.parent {
		for number := uint32(i); open[number] == 0; {
			parent := w.above(number)
			open[number] = none // done
			if parent == none {
				break
			}
			do(number, parent)
			open[parent]--
			number = parent
		}
	}
}
