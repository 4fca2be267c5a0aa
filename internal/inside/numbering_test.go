package inside

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/zodb"
)

// Numbers and oids belong together, whether the oids are dense or not.
func TestNumbersOfOids(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var oids []zodb.Oid
		if rapid.Bool().Draw(t, "dense") {
			for oid := range zodb.Oid(rapid.IntRange(0, 20_000).Draw(t, "count")) {
				if oid%zodb.Oid(rapid.IntRange(1, 7).Draw(t, "gap")) == 0 {
					oids = append(oids, oid)
				}
			}
		} else {
			for _, n := range rapid.SliceOf(rapid.Uint64()).Draw(t, "oids") {
				oids = append(oids, zodb.Oid(n))
			}
			for i := range 100 {
				oids = append(oids, zodb.Oid(i)<<40)
			}
			slices.Sort(oids)
			oids = slices.Compact(oids)
		}
		n := numberOids(slices.Values(oids))
		if n.count != len(oids) {
			t.Fatalf("%d numbers for %d oids", n.count, len(oids))
		}
		for i, oid := range oids {
			if number, ok := n.number(oid); !ok || number != uint32(i) || n.oid(number) != oid {
				t.Fatalf("oid %v: number %d, %v; oid %v", oid, number, ok, n.oid(number))
			}
			if _, found := slices.BinarySearch(oids, oid+1); !found {
				if _, ok := n.number(oid + 1); ok {
					t.Fatalf("oid %v has a number and is not there", oid+1)
				}
			}
		}
	})
}

// Lists of references come back as they were kept.
func TestEdges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lists := rapid.SliceOfN(rapid.SliceOf(rapid.Uint32()), 1, 50).Draw(t, "lists")
		e := newEdges(len(lists))
		w := [2]edgeWriter{{edges: e}, {edges: e}}
		for i, to := range lists {
			if err := w[i%2].add(uint32(i), slices.Clone(to)); err != nil {
				t.Fatal(err)
			}
		}
		for i, to := range lists {
			slices.Sort(to)
			if got := e.of(uint32(i), nil); !slices.Equal(got, to) {
				t.Fatalf("list %d: %v, want %v", i, got, to)
			}
		}
	})
}

func TestAListThatNoChunkHasRoomFor(t *testing.T) {
	e := newEdges(2)
	to := make([]uint32, edgeChunk)
	w := edgeWriter{edges: e}
	if err := w.add(1, to); err != nil || !slices.Equal(e.of(1, nil), to) || len(e.of(0, nil)) != 0 {
		t.Errorf("%v", err)
	}
}
