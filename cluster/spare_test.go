package cluster_test

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// withSpare runs a primary whose commits wait for so many of b and the spare d, which has been let go.
func withSpare(t *testing.T, required int) (a, b, d *clusterNode) {
	t.Helper()
	sa, sb, sd := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	for name, s := range map[string]*site{"a": sa, "b": sb, "d": sd} {
		s.name, s.spare = name, name == "d"
		s.sync = cluster.SyncConfig{Required: required, Names: []string{"a", "b", "d"}, Timeout: time.Hour}
	}
	a = sa.start(t, state.RolePrimary, sb, sd)
	b = sb.start(t, state.RoleSecondary, sa, sd)
	d = sd.start(t, state.RoleSecondary, sa, sb)
	b.has(t, a.st.LastTid())
	d.letGo(t)
	if d.st.LastTid() < a.st.LastTid() || d.keep.State().Learner {
		t.Fatalf("it was let go with %v of %v, as a learner: %v", d.st.LastTid(), a.st.LastTid(),
			d.keep.State().Learner)
	}
	return a, b, d
}

// letGo waits until a spare follows nobody.
func (s *clusterNode) letGo(t *testing.T) {
	t.Helper()
	s.Await(t, "the spare is let go", func(st *admin.Status) bool { return st.Spare && !st.Ready })
}

// A spare has its copy, and follows nobody while the others have everything. When one is out it takes its place, and
// commits that wait for as many secondaries go on; when that node is back, with everything, it is let go again.
func TestASpareTakesThePlaceOfANodeThatIsOut(t *testing.T) {
	a, b, d := withSpare(t, 1)
	before := d.st.LastTid()
	a.clears(t)
	if d.st.LastTid() != before {
		t.Error("the spare has followed")
	}
	b.End(t)
	a.clears(t)
	last := a.st.LastTid()
	d.has(t, last)
	again := b.start(t, state.RoleSecondary, a.site, d.site)
	again.has(t, last)
	d.letGo(t)
	a.clears(t) // it waits for b again
}

// What only the primary and a spare have was acknowledged: without the primary nobody is promoted who lacks it, whether
// or not the spare follows, and the spare is.
func TestWhatOnlyASpareHasIsNotLost(t *testing.T) {
	a, b, d := withSpare(t, 1)
	b.End(t)
	a.clears(t) // it is on a and d
	last := a.st.LastTid()
	a.End(t)
	again := b.start(t, state.RoleSecondary, a.site, d.site)
	_, err := again.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "has more")
	promoteUntil(t, d)
	again.has(t, last)
}

// A spare that follows nobody does not lead unless it is forced to, and its vote says what it has: a commit that waits
// for a secondary is not counted for it.
func TestASpareThatFollowsNobodyDoesNotLead(t *testing.T) {
	a, b, d := withSpare(t, 1)
	a.clears(t) // it is on a and b
	last := a.st.LastTid()
	a.End(t)
	_, err := d.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "it is a spare")
	promoteUntil(t, b) // d has voted
	if b.st.LastTid() < last {
		t.Errorf("the new primary has %v, and clients were told of %v", b.st.LastTid(), last)
	}
	d.follows(t, b) // a is out
}
