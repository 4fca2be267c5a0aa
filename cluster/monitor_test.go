package cluster_test

import (
	"errors"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
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
