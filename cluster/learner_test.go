package cluster_test

import (
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// A node has acknowledged a transaction, for which the primary waited, and then loses its disk. What it has by then
// proves nothing about what was acknowledged: its vote does not count before it has caught up with the primary.
func TestTheVoteOfACopyThatWasBegunAnewDoesNotCount(t *testing.T) {
	a, b, c := namedThree(t)
	c.StopFollowing()
	a.clears(t) // it is on a and b
	last := a.st.LastTid()
	id := a.keep.State()
	a.End(t)
	b.End(t)
	b.disk = simdisk.New()
	keep, err := state.Open(b.disk, "Data.fs")
	if err == nil {
		err = keep.AdoptAsLearner(id.StorageID, id.Epochs, false) // it has reached the primary, and got nothing yet
	}
	if err != nil {
		t.Fatal(err)
	}
	empty := b.start(t, state.RoleSecondary, a.site, c.site)
	_, err = c.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "1 have answered")
	_, err = empty.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "has not caught up with a primary")

	former := a.start(t, state.RolePrimary, b.site, c.site)
	empty.has(t, last)
	empty.Await(t, "it has a vote", func(*admin.Status) bool { return !empty.keep.State().Learner })
	former.End(t)
	_, err = c.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "has more")
	promoteUntil(t, empty)
	if empty.st.LastTid() < last {
		t.Errorf("the new primary has %v, and clients were told of %v", empty.st.LastTid(), last)
	}
}

// A copy that an operator promotes all the same is the history from then on.
func TestALearnerThatIsPromotedByForceIsNoneAnyMore(t *testing.T) {
	a, b, _ := namedThree(t)
	a.End(t)
	b.StopFollowing()
	if err := b.keep.Update(func(id *state.State) error { id.Learner = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	if b.keep.State().Learner || !b.IsPrimary() {
		t.Errorf("it leads: %v; %+v", b.IsPrimary(), b.keep.State())
	}
}
