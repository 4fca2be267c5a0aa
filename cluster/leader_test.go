package cluster_test

import (
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// cascaded has the first of four nodes end with what f commits there alone, the second one lead, the third one follow
// that, and the fourth one the third.
func cascaded(t *testing.T, f func(a *seat)) (a, b, d *seat) {
	t.Helper()
	a, b, c := three(t)
	for range 8 {
		a.commits(t)
	}
	b.has(t, a.st.LastTid())
	c.has(t, a.st.LastTid())
	b.StopFollowing()
	c.StopFollowing()
	f(a)
	a.End(t)
	b.StartFollowing()
	c.StartFollowing()
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	c.follows(t, b)
	d = newSite(t, simdisk.New()).seated(t, state.RoleSecondary, c.site)
	d.has(t, b.commits(t))
	return a, b, d
}

// A node that was refused by a secondary says the address of the primary, also where it knows only a secondary, or a
// secondary of one.
func TestTheCommandNamesThePrimary(t *testing.T) {
	a, b, d := cascaded(t, func(a *seat) { a.commits(t) })
	again := a.movedAway(t).seated(t, state.RoleSecondary, d.site)
	again.isToldToRewindTo(t, b)
}

// It is rewound by itself to what the primary has.
func TestWhoKnowsOnlyASecondaryIsRewoundByItself(t *testing.T) {
	var first zodb.Tid
	a, b, d := cascaded(t, func(a *seat) { first = a.commitsNothing(t) })
	again := a.movedAway(t).seated(t, state.RoleSecondary, d.site)
	again.has(t, b.commits(t))
	if m, err := rewind.ReadManifest(a.disk, rewind.FragmentOf("Data.fs", first).Manifest); err != nil ||
		len(m.Transactions) != 1 {
		t.Errorf("set aside: %+v, %v", m, err)
	}
}

// movedAway is a node that does not run where nobody knows it, and it nobody.
func (s *seat) movedAway(t *testing.T) *site {
	t.Helper()
	keep, err := state.Open(s.disk, "Data.fs")
	if err == nil {
		err = keep.Update(func(id *state.State) error {
			id.Follow, id.Role = nil, ""
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, s.disk)
}
