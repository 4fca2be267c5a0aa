package cluster_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestPromoteWhenThePrimaryIsGone(t *testing.T) {
	a, b, c := three(t)
	last := a.commits(t)
	b.has(t, last)
	c.has(t, last)
	a.End(t)
	change, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	if err != nil {
		t.Fatal(err)
	}
	if !change.Done || change.Role != "primary" || change.Epoch != 2 || *change.LastTid <= last {
		t.Errorf("it says %+v", change)
	}
	next := b.commits(t)
	c.follows(t, b)
	c.has(t, next)

	again := a.start(t, state.RolePrimary, b.site, c.site)
	again.follows(t, b)
	again.has(t, next)
	if again.IsPrimary() || again.epoch() != 2 {
		t.Errorf("the former primary leads: %v, epoch %d", again.IsPrimary(), again.epoch())
	}
}

func TestPromoteIsRefusedWhileThePrimaryAnswers(t *testing.T) {
	_, b, _ := three(t)
	for _, dry := range []bool{true, false} {
		_, err := b.Promote(t.Context(), admin.PromoteRequest{DryRun: dry}, silent)
		refused(t, err, admin.Unsafe, "is primary of epoch 1 and answers: use zrsd switchover")
	}
	if b.IsPrimary() || b.epoch() != 1 {
		t.Error("it leads")
	}
}

// A frozen primary takes no transactions because an operator said so: nobody takes its place by that.
func TestPromoteIsRefusedWhileAFrozenPrimaryAnswers(t *testing.T) {
	a, b, _ := three(t)
	if _, err := a.Freeze(t.Context(), admin.FreezeRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	_, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "is primary of epoch 1 and answers: use zrsd switchover")
}

func TestForcedPromotionFencesThePrimary(t *testing.T) {
	a, b, c := three(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	if _, err := a.tryCommit(t.Context()); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("the former primary still commits: %v", err)
	}
	next := b.commits(t)
	for _, s := range []*clusterNode{a, c} {
		s.follows(t, b)
		s.has(t, next)
	}
}

func TestPromoteIsRefusedWhereAnotherSecondaryIsFurther(t *testing.T) {
	a, b, c := three(t)
	b.StopFollowing() // as if its link were cut
	last := a.commits(t)
	c.has(t, last)
	a.End(t)
	_, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, fmt.Sprintf("has more: it has %v", last))
	if b.IsPrimary() {
		t.Error("it leads")
	}
	b.StartFollowing() // not before: it may get from c what it lacks
	if _, err := c.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	b.follows(t, c)
	b.has(t, last)
}

// Who does not answer any more counts by what the former primary told of it last.
func TestPromoteIsRefusedWhereASecondaryThatIsGoneWasFurther(t *testing.T) {
	a, b, c := three(t)
	release, err := b.st.Hold(t.Context()) // it hears of everything, and takes nothing
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	last := a.commits(t)
	b.Await(t, "it knows that the other is further", func(*admin.Status) bool {
		for _, m := range b.sec.Status().Roster {
			if m.Node == c.keep.Node() && m.Durable == last {
				return true
			}
		}
		return false
	})
	b.StopFollowing() // or the primary would wait for it to catch up
	a.End(t)
	c.End(t)
	_, err = b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, fmt.Sprintf("has more: it has %v", last))
	refused(t, err, admin.Unsafe, "; as of ")
	if b.IsPrimary() {
		t.Error("it leads")
	}
}

// clears waits until clients may be told of a transaction.
func (s *clusterNode) clears(t *testing.T) {
	t.Helper()
	if err := s.Cleared(t.Context(), s.commits(t)); err != nil {
		t.Fatal(err)
	}
}

// The former primary has all of its own commits. That it answers says nothing about who else has them: in an election,
// and where it is a secondary by now.
func TestTheVoteOfTheFormerPrimaryIsNotThatOfASecondary(t *testing.T) {
	for name, elects := range map[string]func(a, b *clusterNode) error{
		"it leads when it is asked": func(_, b *clusterNode) error { return b.Elect(t.Context(), 2, silent) },
		"it has been demoted": func(a, b *clusterNode) error {
			if err := a.Fence(t.Context(), 2, false, b.to.String()); err != nil {
				return err
			}
			return b.Elect(t.Context(), 3, silent)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, c := namedThree(t)
			b.End(t)
			a.clears(t) // it is on a and c
			c.End(t)
			alone := b.start(t, state.RoleSecondary, newSite(t, simdisk.New())) // it has not connected yet
			if err := alone.keep.Update(func(id *state.State) error {
				id.FollowFirst([]string{a.to.String()})
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			refused(t, elects(a, alone), admin.Unsafe, "commits waited for 1 of 2")
			if alone.IsPrimary() {
				t.Error("it was elected without what was acknowledged")
			}
		})
	}
}

// Without names in the rule nodes count, not what they call themselves.
func TestTwoSecondariesOfOneNameAreTwo(t *testing.T) {
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	sa.name, sb.name, sc.name = "a", "db", "db"
	for _, s := range []*site{sa, sb, sc} {
		s.sync = cluster.SyncConfig{Required: 1, Timeout: time.Hour}
	}
	a := sa.start(t, state.RolePrimary, sb, sc)
	b := sb.start(t, state.RoleSecondary, sa, sc)
	c := sc.start(t, state.RoleSecondary, sa, sb)
	c.has(t, a.st.LastTid())
	b.Await(t, "it knows of both", func(*admin.Status) bool {
		now := b.sec.Status()
		return len(now.Roster) == 2 && now.Sync.Required == 1 && !b.keep.State().Learner
	})
	b.StopFollowing()
	a.clears(t)
	a.End(t)
	c.End(t)
	_, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "each is on one of any 2 of them; 1 have answered")
}

// Where commits wait for a name, one living node has it.
func TestASecondLivingNodeOfANameIsRefused(t *testing.T) {
	a, b, c := namedThree(t)
	for name, taken := range map[string]*clusterNode{"b": b, "a": a} {
		second := newSite(t, simdisk.New())
		second.name = name
		twin := second.start(t, state.RoleSecondary, a.site)
		twin.Await(t, "it is refused", func(*admin.Status) bool {
			return twin.sec.Status().Refusals[protocol.CodeNameTaken] > 0
		})
		if twin.st.LastTid() != 0 || taken.st.LastTid() == 0 {
			t.Errorf("a second %s has got %v", name, twin.st.LastTid())
		}
		if name == "b" {
			b.End(t)
			twin.has(t, a.commits(t)) // the name is free
		}
		twin.End(t)
	}
	a.clears(t)
	c.has(t, a.st.LastTid())
}

// Restarted without its primary, a node does not know for whom commits waited.
func TestAPromotionWithoutNamesTakesSomebodyWhoKnows(t *testing.T) {
	a, b := waiting(t, func(*cluster.SyncConfig) {})
	b.sync = cluster.SyncConfig{Required: 1, Timeout: time.Hour}
	b.End(t)
	a.Stop()
	again := b.start(t, state.RoleSecondary, newSite(t, simdisk.New()))
	_, err := again.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "has not learned their ids")
}
