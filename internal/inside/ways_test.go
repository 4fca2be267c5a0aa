package inside

import (
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/zodb"
)

// Numbers come out of a set ascending, each once, and none is left.
func TestNumberSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.SampledFrom([]int{1, 63, 64, 65, 4096, 4097, 300_000}).Draw(t, "count")
		s := newNumberSet(count)
		for range 2 {
			numbers := rapid.SliceOf(rapid.Uint32Range(0, uint32(count-1))).Draw(t, "numbers")
			for _, n := range numbers {
				s.add(n)
			}
			if s.empty() != (len(numbers) == 0) {
				t.Fatalf("%d numbers, empty %v", len(numbers), s.empty())
			}
			slices.Sort(numbers)
			var got []uint32
			s.drain(func(n uint32) { got = append(got, n) })
			if want := slices.Compact(numbers); !slices.Equal(got, want) || !s.empty() {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	})
}

// linked makes a survey of objects that refer to each other in this way.
func linked(t *rapid.T, lists [][]uint32) *Survey {
	var oids []zodb.Oid
	for i := range lists {
		oids = append(oids, zodb.Oid(i))
	}
	s := &Survey{
		oids: numberOids(slices.Values(oids)), edges: newEdges(len(lists)), said: make([]atomic.Uint32, len(lists)),
	}
	w := edgeWriter{edges: s.edges}
	for i, to := range lists {
		if err := w.add(uint32(i), slices.Clone(to)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// distances are how far objects are from the first one, by going through all references again and again.
func distances(lists [][]uint32) []int {
	far := make([]int, len(lists))
	for i := range far {
		far[i] = len(lists)
	}
	far[0] = 0
	for range lists {
		for from, to := range lists {
			for _, t := range to {
				far[t] = min(far[t], far[from]+1)
			}
		}
	}
	return far
}

// Paths are shortest ones, and what is said of an object upwards comes after all that is below it.
func TestWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "objects")
		lists := rapid.SliceOfN(rapid.SliceOfN(rapid.Uint32Range(0, uint32(n-1)), 0, 4), n, n).Draw(t, "references")
		s := linked(t, lists)
		w := s.walk()
		below := make([]int, n)
		w.upwards(func(number, parent uint32) { below[parent] += below[number] + 1 })
		wantBelow := make([]int, n)
		for number, far := range distances(lists) {
			path := w.path(uint32(number))
			if far == n && path != nil || far < n && len(path) != far+1 {
				t.Fatalf("object %d: path %v, want one of %d steps", number, path, far)
			}
			for i := range path[:max(len(path)-1, 0)] {
				if !slices.Contains(lists[path[i]], path[i+1]) {
					t.Fatalf("object %d: path %v", number, path)
				}
				wantBelow[path[i]]++
			}
		}
		if !slices.Equal(below, wantBelow) {
			t.Fatalf("below: %v, want %v", below, wantBelow)
		}
	})
}
