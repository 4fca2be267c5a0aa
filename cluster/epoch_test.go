package cluster_test

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// namedThree starts three nodes by name, whose commits wait for one of the others.
func namedThree(t *testing.T) (a, b, c *clusterNode) {
	t.Helper()
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	for name, s := range map[string]*site{"a": sa, "b": sb, "c": sc} {
		s.name = name
		s.sync = cluster.SyncConfig{Required: 1, Names: []string{"a", "b", "c"}, Timeout: time.Hour}
	}
	a = sa.start(t, state.RolePrimary, sb, sc)
	b = sb.start(t, state.RoleSecondary, sa, sc)
	c = sc.start(t, state.RoleSecondary, sa, sb)
	b.has(t, a.st.LastTid())
	c.has(t, a.st.LastTid())
	return a, b, c
}

// requestsVote has a node ask another one for its vote, as a promotion does that then ends with its process.
func (s *clusterNode) requestsVote(t *testing.T, other *clusterNode, epoch uint64) (*protocol.NodeStatus, error) {
	t.Helper()
	id := s.keep.State()
	return s.AskVote(t.Context(), other.to.String(), protocol.VoteRequest{
		Epoch: epoch, StatusRequest: protocol.StatusRequest{
			Version: protocol.MessageVersion, StorageID: id.StorageID, Node: id.Node, Name: s.name,
		},
	})
}

// A promotion that is refused has changed nothing: nobody has voted, and the primary is followed.
func TestARefusedPromotionChangesNothing(t *testing.T) {
	a, b, c := namedThree(t)
	last := a.commits(t)
	b.has(t, last)
	b.End(t)
	alone := b.start(t, state.RoleSecondary, newSite(t, simdisk.New())) // it reaches nobody
	_, err := alone.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "commits waited for 1 of 2 secondaries")
	for name, s := range map[string]*clusterNode{"the candidate": alone, "the other": c} {
		if id := s.keep.State(); id.Highest() != 1 || id.Role == state.RolePrimary {
			t.Errorf("%s: %+v", name, id)
		}
	}
	alone.End(t)
	b = b.start(t, state.RoleSecondary, a.site, c.site)
	b.follows(t, a)
	b.has(t, a.commits(t))
	if a.epoch() != 1 {
		t.Errorf("epoch %d", a.epoch())
	}
}

// The vote of a secondary keeps it from following the present primary. If the promotion came to nothing, that
// one goes on under a higher number, by itself.
func TestAPrimaryGoesOnWhereAPromotionCameToNothing(t *testing.T) {
	a, b, c := three(t)
	if got, err := b.requestsVote(t, c, 5); err != nil || got.MaxEpochSeen != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	if !a.IsPrimary() || a.Fenced() || a.Access() != zeo.Writable {
		t.Fatal("a vote for somebody else has ended its time")
	}
	tid := a.commits(t)
	c.has(t, tid)
	c.follows(t, a)
	if a.epoch() != 6 || c.epoch() != 6 || !a.IsPrimary() {
		t.Errorf("the primary is of epoch %d, the secondary of %d", a.epoch(), c.epoch())
	}
	b.follows(t, a)
	b.has(t, a.commits(t))
}

// A node that does not answer could have begun the epoch for which it got votes. Where commits wait for secondaries,
// the votes of enough others rule that out; else nothing does.
func TestAPrimaryDoesNotGoOnWhereSomebodyElseMayLead(t *testing.T) {
	t.Run("without waiting", func(t *testing.T) {
		a, b, c := three(t)
		_, _ = b.requestsVote(t, c, 5)
		b.End(t)
		if err := a.BeginHigherEpoch(t.Context()); err == nil || a.epoch() != 1 {
			t.Errorf("it goes on with epoch %d: %v", a.epoch(), err)
		}
		a.commits(t)
	})
	t.Run("waiting for one of two", func(t *testing.T) {
		a, b, c := namedThree(t)
		_, _ = b.requestsVote(t, c, 5)
		b.End(t)
		if err := a.BeginHigherEpoch(t.Context()); err != nil || a.epoch() != 6 {
			t.Errorf("it does not go on: epoch %d, %v", a.epoch(), err)
		}
		c.has(t, a.commits(t))
	})
	t.Run("where the epoch has begun", func(t *testing.T) {
		a, b, c := three(t)
		c.StopFollowing()
		if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
			t.Fatal(err)
		}
		if err := a.BeginHigherEpoch(t.Context()); err != nil || a.epoch() > b.epoch() {
			t.Errorf("epoch %d: %v", a.epoch(), err)
		}
	})
}

// The number of an epoch is written down by whoever hears of it. The last one that there is would leave none for later.
func TestAnEpochThatCannotBeIsNotBelieved(t *testing.T) {
	a, b, c := three(t)
	id := b.keep.State()
	for what, numbers := range map[string]struct{ epoch, begun uint64 }{
		"a vote request":   {math.MaxUint64, 0},
		"a status request": {0, math.MaxUint64},
		"a large step":     {2 + state.MaxStep, 0},
		"and one begun":    {0, 2 + state.MaxStep},
	} {
		req := protocol.StatusRequest{
			Version: protocol.MessageVersion, StorageID: id.StorageID, Node: id.Node, MaxEpochBegun: numbers.begun,
		}
		ask := func(to string) (*protocol.NodeStatus, error) { return b.AskStatus(t.Context(), to, req) }
		if numbers.epoch != 0 {
			ask = func(to string) (*protocol.NodeStatus, error) {
				return b.AskVote(t.Context(), to, protocol.VoteRequest{Epoch: numbers.epoch, StatusRequest: req})
			}
		}
		for _, to := range []*clusterNode{a, c} {
			if got, err := ask(to.to.String()); err == nil {
				t.Errorf("%s: answered with %+v", what, got)
			}
			if now := to.keep.State(); now.Highest() != 1 {
				t.Errorf("%s: believed as %d", what, now.Highest())
			}
		}
	}
	for what, change := range map[string]func(*state.State){
		"a secondary that has voted": func(id *state.State) { id.MaxEpochSeen = math.MaxUint64 },
		"a secondary that has heard": func(id *state.State) { id.MaxEpochBegun = math.MaxUint64 },
	} {
		err := b.keep.Update(func(id *state.State) error { change(id); return nil })
		if err != nil {
			t.Fatal(err)
		}
		b.StopFollowing()
		b.StartFollowing()
		b.Await(
			t,
			"it is refused",
			func(*admin.Status) bool { return b.sec.Status().Refusals[protocol.CodeOutranked] > 0 },
		)
		if a.Fenced() || a.keep.State().Highest() != 1 {
			t.Errorf("%s: believed as %d", what, a.keep.State().Highest())
		}
	}
	b.End(t) // and what was written down before is dropped at the next start
	b = b.start(t, state.RoleSecondary, a.site, c.site)
	b.follows(t, a)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil || b.epoch() != 2 {
		t.Errorf("epoch %d, %v", b.epoch(), err)
	}
}

// Whoever refuses to say how it stands is alive, and may be the primary.
func TestPromoteIsRefusedWhereANodeIsAliveAndDoesNotSay(t *testing.T) {
	a, b, c := three(t)
	a.End(t)
	refusing(t, a.site, &protocol.Refusal{Code: protocol.CodeTooMany, Text: "there is no place"})
	_, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(
		t,
		err,
		admin.Unsafe,
		"is alive and may be the primary: it refused to tell its status (there is no",
	)
	if b.IsPrimary() || b.keep.State().Highest() != 1 || c.keep.State().Highest() != 1 {
		t.Error("it has voted, or leads")
	}
}

// refusing answers everybody at the address of a node that has ended with a refusal.
func refusing(t *testing.T, s *site, n *protocol.Refusal) {
	t.Helper()
	ln, err := s.to.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := protocol.ServerPreface(t.Context(), conn); err == nil {
				_ = protocol.RefusePreface(t.Context(), conn, n)
			}
			_ = conn.Close()
		}
	})
}

// The primary that is replaced is told last: a promotion that the others refuse leaves it alone, even if it is forced
// out otherwise.
func TestAReplacedPrimaryIsToldLast(t *testing.T) {
	a, b, c := three(t)
	ctx, cancel := context.WithCancel(t.Context())
	var during bool
	_, err := b.Promote(ctx, admin.PromoteRequest{Force: true}, func(s admin.Step) {
		if c.keep.State().MaxEpochSeen == 2 {
			during = a.IsPrimary() && !a.Fenced()
			cancel() // the operator has gone away
		}
	})
	if err == nil || !during || a.Fenced() || b.IsPrimary() {
		t.Errorf("%v; it led while the others voted: %v, fenced %v", err, during, a.Fenced())
	}
}

// opened expects that the first transaction of the node's epoch is that with which an epoch begins, and returns its
// tid.
func (s *clusterNode) opened(t *testing.T) zodb.Tid {
	t.Helper()
	now := s.keep.State().Epoch()
	it, err := s.st.Iterate(now.Begin, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	txn, err := it.Next(t.Context())
	if err != nil {
		t.Fatalf("epoch %d begins after %v with nothing: %v", now.Number, now.Begin, err)
	}
	meta := txn.Meta()
	if want := string(cluster.OpeningText(now.Number, now.By)); string(meta.Description) != want || len(meta.User) > 0 {
		t.Errorf("epoch %d begins with %q of user %q", now.Number, meta.Description, meta.User)
	}
	if _, err := txn.NextRecord(); !errors.Is(err, io.EOF) {
		t.Errorf("the first transaction of epoch %d is not empty: %v", now.Number, err)
	}
	return meta.Tid
}

// commitsAt makes an empty transaction with a given tid.
func (s *clusterNode) commitsAt(t *testing.T, tid zodb.Tid) zodb.Tid {
	t.Helper()
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{Tid: tid})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return tid
}

// A ZEO client cannot use a server that is behind its cache, and a tid that was given twice would make it take the one
// transaction for the other. So the first transaction of an epoch is above all that the former primary may have told
// of.
func TestAnEpochBeginsAboveAllThatMayHaveBeenLost(t *testing.T) {
	a, b, c := three(t)
	b.StopFollowing()
	c.StopFollowing()
	lost := a.commits(t)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	first := b.opened(t)
	if begin := b.keep.State().Epoch().Begin; begin >= lost || first <= lost {
		t.Errorf("epoch 2 begins after %v with %v, and %v was lost", begin, first, lost)
	}
	c.has(t, first) // its vote has let it follow again
	if next := b.commits(t); next <= first {
		t.Errorf("committed %v after %v", next, first)
	}
}

// The tid that the primary told last counts where clocks do not: here it is in the future. The node that begins the
// epoch has heard of it and does not have it.
func TestAnEpochBeginsAboveWhatThePrimaryToldLast(t *testing.T) {
	a, b, _ := three(t)
	release, err := b.st.Hold(t.Context()) // it hears of everything, and takes nothing
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ahead := a.commitsAt(t, a.st.LastTid()+1000*cluster.TidGap)
	b.Await(t, "it has heard of it", func(*admin.Status) bool { return b.sec.Status().PrimaryLast == ahead })
	b.StopFollowing()
	release()
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	if first := b.opened(t); first <= ahead {
		t.Errorf("the epoch begins with %v, and the former primary had told of %v", first, ahead)
	}
}

// What the primary committed last may have been told to clients only. Where the last tid is in the future, the next one
// is just above it on every node: the epoch leaves those out.
func TestAnEpochBeginsAboveWhatOnlyClientsWereToldOf(t *testing.T) {
	a, b, c := three(t)
	ahead := a.commitsAt(t, a.st.LastTid()+1000*cluster.TidGap)
	b.has(t, ahead)
	b.StopFollowing()
	c.StopFollowing()
	lost := a.commits(t)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	if first := b.opened(t); first <= lost {
		t.Errorf("the epoch begins with %v after %v, and %v was lost", first, ahead, lost)
	}
}

// Clients of the former primary have oids that it gave to them in advance. Nobody else knows which.
func TestAnEpochGivesNoOidsThatTheFormerPrimaryGave(t *testing.T) {
	a, b, _ := three(t)
	var given zodb.Oid
	for range 1000 {
		given = a.st.NewOid()
	}
	handOver(t, a, b)
	if next := b.st.NewOid(); next <= given {
		t.Errorf("it gives %v, and the former primary gave all up to %v", next, given)
	}
}

func TestTheFirstEpochHasNoTransactionOfItsOwn(t *testing.T) {
	disk := nodetest.DiskWith(t, 1)
	before := string(nodetest.Content(t, disk, "Data.fs"))
	s := newSite(t, disk).start(t, state.RolePrimary)
	s.Await(t, "the primary is ready", nodetest.Ready)
	s.End(t)
	if string(nodetest.Content(t, disk, "Data.fs")) != before {
		t.Error("a primary has written into its file at its first start")
	}
}
