package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// three seats a primary with some transactions and two secondaries that have them all.
func three(t *testing.T) (a, b, c *seat) {
	t.Helper()
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	a = sa.seated(t, state.RolePrimary, sb, sc)
	b = sb.seated(t, state.RoleSecondary, sa, sc)
	c = sc.seated(t, state.RoleSecondary, sa, sb)
	a.Await(t, "the primary is ready", nodetest.Ready) // it had to hear that the others know of no identity
	b.has(t, a.st.LastTid())
	c.has(t, a.st.LastTid())
	return a, b, c
}

// has waits until a node has a transaction.
func (s *seat) has(t *testing.T, tid zodb.Tid) {
	t.Helper()
	s.Await(t, fmt.Sprintf("it has %v", tid), func(st *admin.Status) bool {
		return st.Storage.LastTid != nil && *st.Storage.LastTid >= tid
	})
}

// commits makes a transaction as a client does that asks whether it may.
func (s *seat) commits(t *testing.T) zodb.Tid {
	t.Helper()
	tid, err := s.tryCommit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func (s *seat) tryCommit(ctx context.Context) (zodb.Tid, error) {
	if err := s.identified(ctx); err != nil {
		return 0, err
	}
	txn, err := s.st.Begin(ctx, &zodb.TxnMeta{})
	if err != nil {
		return 0, err
	}
	if s.Access() != zeo.Writable {
		return 0, errors.Join(zodb.ErrReadOnly, txn.Abort())
	}
	serial, _ := s.st.GetTid(1)
	if err := txn.Store(1, serial, []byte("state")); err != nil {
		return 0, errors.Join(err, txn.Abort())
	}
	return txn.Finish(ctx, nil)
}

// identified waits until a primary has heard that the others know of no identity.
func (s *seat) identified(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodetest.Patience)
	defer cancel()
	for s.AsksIdentity() {
		if pause.For(ctx, time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("it has no identity: %w", ctx.Err())
		}
	}
	return nil
}

func silent(admin.Step) {}

// follows waits until a node follows another one as its primary.
func (s *seat) follows(t *testing.T, other *seat) {
	t.Helper()
	s.Await(t, "it follows the other", func(*admin.Status) bool {
		now := s.sec.Status()
		return now.Connected && now.IsPrimary && now.Address == other.to.String()
	})
}

func (s *seat) epoch() uint64 { return s.keep.State().Epoch().Number }

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
		t.Errorf("the heir leads: %v, of epoch %d", b.IsPrimary(), b.epoch())
	}
	if _, err := a.tryCommit(t.Context()); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("the former primary still commits: %v", err)
	}
	next := b.commits(t)
	for _, s := range []*seat{a, c} {
		s.follows(t, b)
		s.has(t, next)
		if s.epoch() != 2 {
			t.Errorf("epoch %d", s.epoch())
		}
	}
}

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

	again := a.seated(t, state.RolePrimary, b.site, c.site)
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
	for _, s := range []*seat{a, c} {
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
	b.StartFollowing()
	_, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, fmt.Sprintf("has more: it has %v", last))
	if b.IsPrimary() {
		t.Error("it leads")
	}
	if _, err := c.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	b.follows(t, c)
	b.has(t, last)
}

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
	again := a.seated(t, state.RolePrimary, b.site)
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

func TestAFrozenPrimaryIsReadAndTakesNothing(t *testing.T) {
	a, b, _ := three(t)
	_, err := a.Freeze(t.Context(), admin.FreezeRequest{DryRun: true}, silent)
	if err != nil || a.Access() != zeo.Writable {
		t.Fatalf("a dry run: %v, access %v", err, a.Access())
	}
	if _, err := a.Freeze(t.Context(), admin.FreezeRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	if _, err := a.tryCommit(t.Context()); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("it commits: %v", err)
	}
	if a.Access() != zeo.Frozen {
		t.Errorf("access %v", a.Access())
	}
	a.End(t)
	again := a.seated(t, state.RolePrimary, b.site)
	st := again.Await(t, "it is open", func(st *admin.Status) bool { return st.Storage.LastTid != nil })
	if st.Ready || !strings.Contains(*st.NotReady, "frozen") {
		t.Errorf("after a restart: %+v", st)
	}
	if _, err := again.Thaw(t.Context(), admin.FreezeRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	b.has(t, again.commits(t))
}

func TestADemotedPrimaryFollows(t *testing.T) {
	a, b, c := three(t)
	_, err := a.Demote(t.Context(), admin.DemoteRequest{Follow: []string{"/nowhere/at/all"}}, silent)
	refused(t, err, admin.Unavailable, "nobody answers at /nowhere/at/all")
	change, err := a.Demote(t.Context(), admin.DemoteRequest{Follow: []string{b.to.String()}}, silent)
	if err != nil || len(change.Warnings) == 0 || change.Role != "secondary" {
		t.Fatalf("%+v, %v", change, err)
	}
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	next := b.commits(t)
	for _, s := range []*seat{a, c} {
		s.follows(t, b)
		s.has(t, next)
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
	if err == nil || !strings.Contains(err.Error(), "stays primary") {
		t.Fatalf("got %v", err)
	}
	a.commits(t)
	if !a.IsPrimary() || a.epoch() != 1 {
		t.Errorf("it leads: %v, epoch %d", a.IsPrimary(), a.epoch())
	}
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
