package archive

import (
	"math/rand/v2"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// What is drawn is restored as the file that was then, whichever it is: of the first segment, of later ones, and from
// before a pack. All but the latest one are drawn in time.
func TestMomentsAreDrawn(t *testing.T) {
	s := newSite(t, 1)
	defer s.close()
	store := newStore(t, simdisk.New())
	w := s.writer(store)
	looks := map[zodb.Tid]look{}
	for range 3 {
		for range 3 {
			tid := s.commit(2, 100, true)
			looks[tid] = s.look()
		}
		s.archive(w)
	}
	drawn := map[zodb.Tid]bool{}
	rng := rand.New(rand.NewPCG(1, 2))
	a := open(t, store, Keys{})
	draw := func() {
		t.Helper()
		m, err := a.Draw(t.Context(), rng.Uint64N)
		if err != nil {
			t.Fatal(err)
		}
		if !drawn[m.Tid] {
			same(t, m.Tid.String(), mustRestore(t, a, m.Tid), looks[m.Tid])
		}
		drawn[m.Tid] = true
	}
	for range 200 {
		draw()
	}
	if len(drawn) < len(looks)-1 {
		t.Errorf("%d of %d moments were drawn", len(drawn), len(looks))
	}
	if !s.pack(s.tid - 1) {
		t.Fatal("nothing was packed")
	}
	s.archive(w)
	clear(drawn)
	for range 50 {
		m, err := a.Draw(t.Context(), rng.Uint64N)
		if err != nil {
			t.Fatal(err)
		}
		if m.Generation.Generation == 1 && !drawn[m.Tid] {
			drawn[m.Tid] = true
			same(t, m.Tid.String(), mustRestore(t, a, m.Tid), looks[m.Tid])
		}
	}
	if len(drawn) == 0 {
		t.Error("none from before the pack was drawn")
	}
}
