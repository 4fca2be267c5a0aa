package cluster_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// rivalling starts two primaries of epoch 2 that were promoted without hearing of each other, and what each has alone.
// The first one is who goes on.
func rivalling(t *testing.T) (first, second *clusterNode, alone map[*clusterNode]zodb.Tid) {
	t.Helper()
	a, b, c := three(t)
	a.End(t)
	c.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	onlyB := b.commits(t)
	b.End(t)
	c = c.start(t, state.RoleSecondary, a.site, b.site)
	if _, err := c.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	onlyC := c.commits(t)
	b = b.start(t, state.RoleSecondary, a.site, c.site)
	if b.epoch() != c.epoch() || b.keep.State().Epoch().Same(c.keep.State().Epoch()) {
		t.Fatalf("epochs %+v and %+v", b.keep.State().Epoch(), c.keep.State().Epoch())
	}
	alone = map[*clusterNode]zodb.Tid{b: onlyB, c: onlyC}
	if b.keep.State().Epoch().Begin < c.keep.State().Epoch().Begin || b.keep.State().Epoch().Begin ==
		c.keep.State().Epoch().Begin && strings.Compare(b.keep.Node(), c.keep.Node()) < 0 {
		b, c = c, b
	}
	return b, c, alone
}

// Of two primaries of one epoch that hear of each other one takes no transactions, also after a restart, and both say
// so.
func TestOfTwoPrimariesOfOneEpochOneGoesOn(t *testing.T) {
	first, second, _ := rivalling(t)
	second.disputes(t, cluster.ConflictEpoch, "zrsd promote")
	first.Await(t, "it says so", func(st *admin.Status) bool {
		return st.Conflict != nil && st.Conflict.Kind == cluster.ConflictEpoch && st.Ready
	})
	first.writable(t, true)
	second.writable(t, false)
	if second.Info().IsPrimary {
		t.Error("it tells secondaries to follow it")
	}
	first.End(t)
	second.End(t)
	again := second.start(t, state.RoleSecondary, first.site)
	again.disputes(t, cluster.ConflictEpoch, "when it last answered")
	again.writable(t, false)
}

// A promotion of either of them ends the conflict. What the other one has alone is a tail to be set aside: nothing that
// was acknowledged is lost without a word.
func TestAPromotionEndsAConflictOfEpochs(t *testing.T) {
	for _, ofTheSecond := range []bool{false, true} {
		keeps, loses, alone := rivalling(t)
		if ofTheSecond {
			keeps, loses = loses, keeps
		}
		for _, s := range []*clusterNode{keeps, loses} {
			s.Await(t, "it knows of the conflict", func(st *admin.Status) bool { return st.Conflict != nil })
		}
		change, err := keeps.Promote(t.Context(), admin.PromoteRequest{}, silent)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(change.Warnings, func(w string) bool { return strings.Contains(w, "zrsd rewind") }) {
			t.Errorf("it does not say what becomes of the other one's: %+v", change)
		}
		keeps.writable(t, true)
		keeps.disputes(t, "", "")
		if _, err := keeps.st.Find(t.Context(), alone[keeps]); err != nil || keeps.epoch() != 3 {
			t.Errorf("epoch %d, what it had alone: %v", keeps.epoch(), err)
		}
		loses.Await(t, "it is refused", func(st *admin.Status) bool {
			return st.Upstream != nil && st.Upstream.State == "refused"
		})
		if loses.IsPrimary() {
			t.Error("the other one leads")
		}
		loses.disputes(t, "", "")
		if _, err := loses.st.Find(t.Context(), alone[loses]); err != nil {
			t.Errorf("what the other one has alone: %v", err)
		}
		loses.End(t)
		if plan := planned(t, loses.site, keeps); plan.First == 0 || plan.First > alone[loses] {
			t.Errorf("rewind would take out %+v, and %v is not in the new history", plan, alone[loses])
		}
	}
}

// Two processes with one node id, as of a machine that was cloned with its disks, are told apart by their starts.
func TestAClonedNodeIsMet(t *testing.T) {
	disk := nodetest.DiskWith(t, 3)
	sa := newSite(t, disk)
	a := sa.start(t, state.RolePrimary)
	a.Await(t, "it leads", nodetest.Ready)
	a.End(t)
	clone := newSite(t, simdisk.New())
	for _, path := range []string{"Data.fs", "Data.fs" + state.Suffix} {
		nodetest.Put(t, clone.disk, path, nodetest.Content(t, disk, path))
	}
	a = sa.start(t, state.RolePrimary, clone)
	a.disputes(t, "", "")
	for _, s := range []*clusterNode{a, clone.start(t, state.RolePrimary, sa)} {
		s.disputes(t, cluster.ConflictNode, "has the id of this node")
		s.writable(t, false)
	}
}

// A member that is primary of another storage is no member, and one of the two is not what its operator thinks.
func TestAPrimaryOfAnotherStorageIsMet(t *testing.T) {
	sa, sb := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, nodetest.DiskWith(t, 3))
	for _, s := range []*site{sa, sb} {
		one := s.start(t, state.RolePrimary)
		one.Await(t, "it leads", nodetest.Ready)
		one.End(t)
	}
	a, b := sa.start(t, state.RolePrimary, sb), sb.start(t, state.RolePrimary, sa)
	for _, s := range []*clusterNode{a, b} {
		s.disputes(t, cluster.ConflictStorage, "of another storage")
		s.writable(t, false)
	}
	b.End(t)
	alone := sb.start(t, state.RoleSecondary, newSite(t, simdisk.New()))
	a.disputes(t, "", "")
	a.writable(t, true)
	if alone.IsPrimary() {
		t.Error("a secondary leads")
	}
}

// A node that has voted for another one does not begin that epoch as a successor: the switchover was interrupted, and
// the other one was promoted meanwhile.
func TestASuccessorKeepsItsVoteForAnother(t *testing.T) {
	a, b, c := three(t)
	id, last := b.keep.State(), a.st.LastTid()
	if _, refusal := b.Vote(t.Context(), &protocol.VoteRequest{Epoch: 2, StatusRequest: protocol.StatusRequest{
		Version: protocol.MessageVersion, StorageID: id.StorageID, Node: c.keep.Node(), Name: "c",
	}}); refusal != nil {
		t.Fatal(refusal)
	}
	err := b.Succeed(t.Context(), 2, last)
	if err == nil || !strings.Contains(err.Error(), "voted for node "+c.keep.Node()) || b.IsPrimary() {
		t.Errorf("got %v, leads %v", err, b.IsPrimary())
	}
}
