package cluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// commitsWait seats a primary whose commits wait for one secondary, and that secondary.
func waiting(t *testing.T, change func(*cluster.SyncConfig)) (a, b *seat) {
	t.Helper()
	sa, sb := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New())
	sa.sync = cluster.SyncConfig{Required: 1, Timeout: time.Hour}
	change(&sa.sync)
	a = sa.seated(t, state.RolePrimary, sb)
	b = sb.seated(t, state.RoleSecondary, sa)
	b.has(t, a.st.LastTid())
	return a, b
}

func TestACommitIsClearedWhenASecondaryHasIt(t *testing.T) {
	a, b := waiting(t, func(*cluster.SyncConfig) {})
	tid := a.commits(t)
	if err := a.Cleared(t.Context(), tid); err != nil {
		t.Fatal(err)
	}
	if last := b.st.LastTid(); last != tid {
		t.Errorf("cleared %v, and the secondary has %v", tid, last)
	}
	st := a.Await(t, "it says so", func(st *admin.Status) bool { return st.Sync != nil && st.Sync.SyncedTid != nil })
	if *st.Sync.SyncedTid != tid || st.Sync.Waiting != 0 || st.Sync.Degraded {
		t.Errorf("%+v", st.Sync)
	}
}

func TestACommitWaitsForASecondaryThatIsAway(t *testing.T) {
	a, b := waiting(t, func(c *cluster.SyncConfig) { c.Timeout = time.Millisecond })
	b.StopFollowing()
	tid := a.commits(t)
	done := make(chan error, 1)
	go func() { done <- a.Cleared(t.Context(), tid) }()
	a.Await(t, "it waits", func(st *admin.Status) bool { return st.Sync.Waiting == 1 })
	select {
	case err := <-done:
		t.Fatalf("cleared without a secondary: %v", err)
	default:
	}
	b.StartFollowing()
	if err := <-done; err != nil || b.st.LastTid() < tid {
		t.Errorf("%v, the secondary has %v of %v", err, b.st.LastTid(), tid)
	}
}

func TestWhoGivesUpWaitingIsToldNothing(t *testing.T) {
	a, b := waiting(t, func(*cluster.SyncConfig) {})
	b.StopFollowing()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Cleared(ctx, a.commits(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDegradedCommitsDoNotWaitUntilTheSecondaryHasCaughtUp(t *testing.T) {
	a, b := waiting(t, func(c *cluster.SyncConfig) { c.Timeout, c.OnTimeout = time.Millisecond, cluster.SyncDegrade })
	b.StopFollowing()
	for range 3 {
		if err := a.Cleared(t.Context(), a.commits(t)); err != nil {
			t.Fatal(err)
		}
	}
	st := a.Await(t, "it is degraded", func(st *admin.Status) bool { return st.Sync.Degraded })
	if st.Sync.Degradations != 1 || st.Sync.DegradedSince == nil {
		t.Errorf("%+v", st.Sync)
	}
	b.StartFollowing()
	a.Await(t, "it is not any more", func(st *admin.Status) bool { return !st.Sync.Degraded })
}

func TestOnlyNamedSecondariesCount(t *testing.T) {
	a, b := waiting(t, func(c *cluster.SyncConfig) { c.Names = []string{"elsewhere"} })
	tid := a.commits(t)
	b.has(t, tid)
	if synced := a.Synced(); synced != 0 {
		t.Errorf("synced %v by one that does not count", synced)
	}
}

// What waited when the node ceased to be primary is not told as committed: its clients are gone by then.
func TestNothingWaitsOnANodeThatIsNotPrimary(t *testing.T) {
	a, b := waiting(t, func(*cluster.SyncConfig) {})
	b.StopFollowing()
	tid := a.commits(t)
	done := make(chan error, 1)
	go func() { done <- a.Cleared(t.Context(), tid) }()
	a.Await(t, "it waits", func(st *admin.Status) bool { return st.Sync.Waiting == 1 })
	a.Outranked(9)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if a.IsPrimary() && !a.Fenced() {
		t.Error("it waited no more while it was primary")
	}
}

func TestAPromotionNeedsOneOfEachQuorum(t *testing.T) {
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	for name, s := range map[string]*site{"a": sa, "b": sb, "c": sc} {
		s.name = name
		s.sync = cluster.SyncConfig{Required: 1, Names: []string{"a", "b", "c"}, Timeout: time.Hour}
	}
	a := sa.seated(t, state.RolePrimary, sb, sc)
	b := sb.seated(t, state.RoleSecondary, sa, sc)
	c := sc.seated(t, state.RoleSecondary, sa, sb)
	last := a.commits(t)
	b.has(t, last)
	c.has(t, last)
	b.Await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
	a.End(t)
	c.End(t)
	_, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "commits waited for 1 of 2 secondaries (of b, c), so each is on one of "+
		"any 2 of them; 1 have")
	again := sc.seated(t, state.RoleSecondary, sa, sb)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	tid := b.commits(t)
	if err := b.Cleared(t.Context(), tid); err != nil {
		t.Fatal(err)
	}
	again.has(t, tid)
}

// A node that was started again since it heard of its primary has the rule of its own command line. Where that list has
// only the secondaries, all of them count, and not one less as where it has the name of the former primary, too.
func TestAPromotionAfterAStartCountsTheSecondariesOfItsOwnList(t *testing.T) {
	for _, names := range [][]string{{"b", "c"}, {"a", "b", "c"}} {
		sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
		for name, s := range map[string]*site{"a": sa, "b": sb, "c": sc} {
			s.name = name
			s.sync = cluster.SyncConfig{Required: 1, Names: names, Timeout: time.Hour}
		}
		a := sa.seated(t, state.RolePrimary, sb, sc)
		b := sb.seated(t, state.RoleSecondary, sa, sc)
		c := sc.seated(t, state.RoleSecondary, sa, sb)
		b.has(t, a.commits(t))
		b.End(t)
		last := a.commits(t) // acknowledged by c alone
		c.has(t, last)
		c.End(t)
		a.End(t)
		again := sb.seated(t, state.RoleSecondary, sa, sc)
		_, err := again.Promote(t.Context(), admin.PromoteRequest{}, silent)
		refused(t, err, admin.Unsafe, "each is on one of any 2 of them; 1 have")
		again.End(t)
	}
}
