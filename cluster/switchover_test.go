package cluster_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func TestSwitchoverLosesNothingAndTheOthersFollow(t *testing.T) {
	a, b, c := three(t)
	last := a.commits(t)
	change, err := a.Switchover(t.Context(), admin.SwitchoverRequest{To: b.keep.State().Node}, silent)
	if err != nil {
		t.Fatal(err)
	}
	if !change.Done || change.Role != "secondary" || change.Epoch != 2 || *change.LastTid != last ||
		change.Pause == nil {
		t.Errorf("it says %+v", change)
	}
	if !b.IsPrimary() || b.epoch() != 2 || a.IsPrimary() {
		t.Errorf("the successor leads: %v, of epoch %d", b.IsPrimary(), b.epoch())
	}
	if _, err := a.tryCommit(t.Context()); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("the former primary still commits: %v", err)
	}
	next := b.commits(t)
	for _, s := range []*clusterNode{a, c} {
		s.follows(t, b)
		s.has(t, next)
		if s.epoch() != 2 {
			t.Errorf("epoch %d", s.epoch())
		}
	}
}

// A secondary that was disconnected a moment ago, as all are when an epoch begins, is waited for.
func TestSwitchoverWaitsForASecondaryThatConnectsAgain(t *testing.T) {
	sa, sb := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New())
	sa.name, sb.name = "a", "b"
	a, b := sa.start(t, state.RolePrimary, sb), sb.start(t, state.RoleSecondary, sa)
	a.Await(t, "the primary is ready", nodetest.Ready)
	b.has(t, a.st.LastTid())
	b.StopFollowing()
	a.Await(t, "it knows that b is gone", func(st *admin.Status) bool { return len(st.Disconnected) == 1 })
	waits := false
	_, err := a.Switchover(t.Context(), admin.SwitchoverRequest{To: b.keep.State().Node}, func(s admin.Step) {
		if !waits && strings.Contains(s.Text, "disconnected a moment ago") {
			waits = true
			b.StartFollowing()
		}
	})
	if err != nil || !waits || !b.IsPrimary() {
		t.Errorf("waited: %v, b leads: %v, %v", waits, b.IsPrimary(), err)
	}
}

// A secondary that has not connected since the primary was started is waited for, too, if it is there.
func TestSwitchoverWaitsForASecondaryThatHasNotConnectedYet(t *testing.T) {
	a, b, c := three(t)
	c.StopFollowing()
	a.End(t)
	again := a.start(t, state.RolePrimary, b.site, c.site)
	again.Await(t, "the primary is ready", nodetest.Ready)
	waits := false
	_, err := again.Switchover(t.Context(), admin.SwitchoverRequest{To: c.keep.State().Node}, func(s admin.Step) {
		if !waits && strings.Contains(s.Text, "disconnected a moment ago") {
			waits = true
			c.StartFollowing()
		}
	})
	if err != nil || !waits || !c.IsPrimary() {
		t.Errorf("waited: %v, c leads: %v, %v", waits, c.IsPrimary(), err)
	}
}

func TestSwitchoverIsRefusedWhereItCannotWork(t *testing.T) {
	a, b, _ := three(t)
	_, err := b.Switchover(t.Context(), admin.SwitchoverRequest{To: "x"}, silent)
	refused(t, err, admin.NotAllowed, "not the primary")
	_, err = a.Switchover(t.Context(), admin.SwitchoverRequest{To: "x"}, silent)
	refused(t, err, admin.Invalid, "there is no secondary x")
	change, err := a.Switchover(t.Context(), admin.SwitchoverRequest{To: b.keep.State().Node, DryRun: true}, silent)
	if err != nil || change.Done || len(change.Steps) != 1 || !a.IsPrimary() {
		t.Errorf("a dry run: %+v, %v", change, err)
	}
}

func TestAFailedSwitchoverLetsCommitsGoOn(t *testing.T) {
	a, b, _ := three(t)
	if err := b.keep.Update(func(id *state.State) error { id.MaxEpochSeen = 9; return nil }); err != nil {
		t.Fatal(err) // so it refuses to prepare
	}
	_, err := a.Switchover(t.Context(), admin.SwitchoverRequest{To: b.keep.State().Node}, silent)
	if err == nil { // it says "stays primary", unless b has lost its connection, and does not come back with that state
		t.Fatal("it is done")
	}
	a.commits(t)
	if !a.IsPrimary() || a.epoch() != 1 {
		t.Errorf("it leads: %v, epoch %d", a.IsPrimary(), a.epoch())
	}
}
