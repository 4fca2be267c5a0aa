package hashchain_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/zodb"
)

// A counted chain counts the questions.
type counted struct {
	hashchain.Chain
	n *int
}

func (c counted) At(ctx context.Context, base, tid zodb.Tid) (hashchain.Point, error) {
	*c.n++
	return c.Chain.At(ctx, base, tid)
}

// opened follows txns until done is called.
func opened(t *rapid.T, txns []txn) (l *hashchain.Local, m *memory, done func()) {
	m = newMemory(txns...)
	l = hashchain.Keep(m, hashchain.Options{})
	reaches(t, l, m.LastTid())
	return l, m, l.Close
}

// Whatever is changed, added or left out, wherever, and whoever is ahead: it is found, and with few questions.
func TestTheFirstDifferenceIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "transactions")
		a := plain(n)
		for i := range a {
			a[i].tid = zodb.Tid(uint64(i+1) << rapid.SampledFrom([]int{4, 40}).Draw(t, "pace"))
		}
		slices.SortFunc(a, func(x, y txn) int { return int(x.tid>>1) - int(y.tid>>1) })
		a = slices.CompactFunc(a, func(x, y txn) bool { return x.tid == y.tid })
		b := slices.Clone(a)
		at := rapid.IntRange(0, len(a)).Draw(t, "place") // the end: no difference
		if at < len(a) {
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				b[at].data = "another"
			case 1:
				b = slices.Delete(b, at, at+1)
			default:
				b = slices.Insert(b, at, txn{tid: a[at].tid - 1, data: "more"})
			}
		}
		a = a[:rapid.IntRange(0, len(a)).Draw(t, "length of A")]
		b = b[:rapid.IntRange(0, len(b)).Draw(t, "length of B")]
		check(t, a, b)
	})
}

func check(t *rapid.T, a, b []txn) {
	chainA, _, doneA := opened(t, a)
	defer doneA()
	chainB, _, doneB := opened(t, b)
	defer doneB()
	var questions int
	d, err := hashchain.FirstDifference(context.Background(), counted{chainA, &questions}, counted{chainB, &questions})
	if err != nil {
		t.Fatal(err)
	}
	common, first := parted(a, b)
	if d.Common.Tid != common || d.First != first || !d.Exact {
		t.Fatalf("got %+v, want common %v, first %v", d, common, first)
	}
	if questions > 2*65 {
		t.Fatalf("it took %d questions", questions)
	}
}

// parted compares two lists from their beginning: the last common tid, and the first that differs up to the end of the
// shorter one.
func parted(a, b []txn) (common, first zodb.Tid) {
	end := min(last(a), last(b))
	for i := range max(len(a), len(b)) {
		switch {
		case i < len(a) && i < len(b) && a[i] == b[i]:
			common = a[i].tid
			continue
		case i >= len(a):
			first = b[i].tid
		case i >= len(b):
			first = a[i].tid
		default:
			first = min(a[i].tid, b[i].tid)
		}
		break
	}
	if first > end {
		first = 0
	}
	return common, first
}

func last(txns []txn) zodb.Tid {
	if len(txns) == 0 {
		return 0
	}
	return txns[len(txns)-1].tid
}

// Nodes that pack when they like go on to be comparable from where they began.
func TestPacksOfEitherSideDoNotMatter(t *testing.T) {
	for _, packs := range [][2]zodb.Tid{{0, 0}, {30, 0}, {0, 50}, {30, 50}, {70, 70}} {
		t.Run(fmt.Sprint(packs), func(t *testing.T) {
			var chains [2]hashchain.Chain
			for i, pack := range packs {
				m := newMemory(plain(8)...)
				l := keep(t, m, hashchain.Options{})
				reaches(t, l, 80)
				m.pack(pack)
				m.commit(plain(12)[8:]...)
				reaches(t, l, 120)
				chains[i] = l
			}
			d, err := hashchain.FirstDifference(t.Context(), chains[0], chains[1])
			if err != nil || d.First != 0 || d.Base != 0 || d.Common.Count != 12 {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

// A node that was made from a packed one begins where its file can be proved; the other one computes that, too.
func TestTheLaterBaseIsUsed(t *testing.T) {
	a := newMemory(plain(9)...)
	b := newMemory(plain(9)...)
	b.pack(40)
	other := plain(9)
	other[6].data = "other"
	c := newMemory(other...)
	chainA, chainB, chainC := keep(t, a, hashchain.Options{}), keep(t, b, hashchain.Options{}),
		keep(t, c, hashchain.Options{})
	for _, l := range []*hashchain.Local{chainA, chainB, chainC} {
		reaches(t, l, 90)
	}
	d, err := hashchain.FirstDifference(t.Context(), chainA, chainB)
	if err != nil || d.First != 0 || d.Base != 50 || d.Common.Count != 4 || d.Common.Tid != 90 {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = hashchain.FirstDifference(t.Context(), chainB, chainC)
	if err != nil || d.First != 70 || d.Common.Tid != 60 || !d.Exact {
		t.Errorf("%+v, %v", d, err)
	}
}

// What a pack went over cannot be looked into.
func TestADifferenceUnderAPackIsBetweenTwoTids(t *testing.T) {
	other := plain(9)
	other[2].data = "other"
	a, b := newMemory(plain(9)...), newMemory(other...)
	chainA, chainB := keep(t, a, hashchain.Options{}), keep(t, b, hashchain.Options{})
	reaches(t, chainA, 90)
	reaches(t, chainB, 90)
	a.pack(60)
	d, err := hashchain.FirstDifference(t.Context(), chainA, chainB)
	if err != nil || d.First == 0 || d.Exact || d.Common.Tid >= 30 || d.First < 30 {
		t.Errorf("%+v, %v", d, err)
	}
}
