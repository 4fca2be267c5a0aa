package cluster_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func TestAPrimaryThatMeetsAHigherEpochIsOneNoMore(t *testing.T) {
	a, b, _ := three(t)
	if err := b.keep.Update(func(id *state.State) error { id.MaxEpochBegun = 7; return nil }); err != nil {
		t.Fatal(err)
	}
	b.StopFollowing()
	b.StartFollowing() // and so says hello again
	a.Await(t, "it leads no more", func(st *admin.Status) bool { return st.Role == "secondary" })
	if _, err := a.tryCommit(t.Context()); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("it still commits: %v", err)
	}
	a.End(t)
	again := a.start(t, state.RolePrimary, b.site)
	again.Await(t, "it is open", func(st *admin.Status) bool { return st.Storage.LastTid != nil })
	if again.IsPrimary() {
		t.Error("after a restart it leads again")
	}
}

// A node that has heard of a higher epoch, and follows the former primary meanwhile, says nothing of it by itself. The
// primary asks again and again, so that it hears of that within seconds.
func TestAPrimaryAsksTheOthersForAHigherEpoch(t *testing.T) {
	a, b, c := three(t)
	c.End(t)
	ln, err := c.to.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	defer time.AfterFunc(nodetest.Patience, func() { _ = ln.Close() }).Stop()
	for range 2 { // it is the primary that asks there: the other one follows it
		conn, err := ln.Accept()
		if err != nil {
			t.Fatalf("the primary asks nobody: %v", err)
		}
		_ = conn.Close() // it is told nothing
	}
	if err := b.keep.Update(func(id *state.State) error { id.MaxEpochBegun = 7; return nil }); err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	a.Await(t, "it leads no more", func(st *admin.Status) bool { return st.Role == "secondary" })
	if _, err := a.tryCommit(t.Context()); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("it still commits: %v", err)
	}
}

// A secondary that could not reach the primary, and follows another secondary, follows the primary again when it can.
func TestASecondaryLeavesAnotherOneForThePrimary(t *testing.T) {
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	a := sa.start(t, state.RolePrimary, sb, sc)
	b, c := sb.start(t, state.RoleSecondary, sa, sc), sc.start(t, state.RoleSecondary, sa, sb)
	b.follows(t, a)
	c.follows(t, a)
	c.StopFollowing()
	away := sa.to.String() + ".away"
	rename(t, sa.to.String(), away) // who is connected stays so
	c.StartFollowing()
	c.Await(t, "it follows the other secondary", func(*admin.Status) bool {
		now := c.sec.Status()
		return now.Connected && now.Address == sb.to.String()
	})
	rename(t, away, sa.to.String())
	c.follows(t, a)
	if _, err := a.Switchover(t.Context(), admin.SwitchoverRequest{To: c.keep.State().Node}, silent); err != nil {
		t.Error("it cannot take over: ", err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
