package cluster_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// waiting starts a primary whose commits wait for one secondary, and that secondary.
func waiting(t *testing.T, change func(*cluster.SyncConfig)) (a, b *clusterNode) {
	t.Helper()
	sa, sb := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New())
	sa.sync = cluster.SyncConfig{Required: 1, Timeout: time.Hour}
	change(&sa.sync)
	a = sa.start(t, state.RolePrimary, sb)
	b = sb.start(t, state.RoleSecondary, sa)
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
	a := sa.start(t, state.RolePrimary, sb, sc)
	b := sb.start(t, state.RoleSecondary, sa, sc)
	c := sc.start(t, state.RoleSecondary, sa, sb)
	last := a.commits(t)
	b.has(t, last)
	c.has(t, last)
	b.Await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
	a.End(t)
	c.End(t)
	_, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "commits waited for 1 of 2 secondaries (of b, c), so each is on one of "+
		"any 2 of them; 1 have")
	again := sc.start(t, state.RoleSecondary, sa, sb)
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
		a := sa.start(t, state.RolePrimary, sb, sc)
		b := sb.start(t, state.RoleSecondary, sa, sc)
		c := sc.start(t, state.RoleSecondary, sa, sb)
		b.has(t, a.commits(t))
		b.End(t)
		last := a.commits(t) // acknowledged by c alone
		c.has(t, last)
		c.End(t)
		a.End(t)
		again := sb.start(t, state.RoleSecondary, sa, sc)
		_, err := again.Promote(t.Context(), admin.PromoteRequest{}, silent)
		refused(t, err, admin.Unsafe, "each is on one of any 2 of them; 1 have")
		again.End(t)
	}
}

// waitingThree starts a primary whose commits wait for one of two named secondaries, and these, with some transactions
// that all have.
func waitingThree(t *testing.T) (a, b, c *clusterNode) {
	t.Helper()
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	for name, s := range map[string]*site{"a": sa, "b": sb, "c": sc} {
		s.name = name
		s.sync = cluster.SyncConfig{Required: 1, Names: []string{"a", "b", "c"}, Timeout: time.Hour}
	}
	a = sa.start(t, state.RolePrimary, sb, sc)
	b = sb.start(t, state.RoleSecondary, sa, sc)
	c = sc.start(t, state.RoleSecondary, sa, sb)
	for range 8 { // so that what goes is less than half of the file
		a.commits(t)
	}
	for _, s := range []*clusterNode{b, c} {
		s.has(t, a.st.LastTid())
		s.Await(t, "it knows the rule", func(*admin.Status) bool { return s.sec.Status().Sync.Required == 1 })
	}
	return a, b, c
}

// alone has the first of two nodes commit what the other one never gets, by f, and the other one take its place.
func alone(t *testing.T, a, b *clusterNode, f func()) (last zodb.Tid) {
	t.Helper()
	b.StopFollowing()
	f()
	a.End(t)
	b.StartFollowing()
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	return b.commits(t)
}

// setsAside waits until a node has set something aside by itself, once, and follows.
func (s *clusterNode) setsAside(t *testing.T, first, until, last, next zodb.Tid) {
	t.Helper()
	s.has(t, next)
	st := s.Await(t, "it follows", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "live"
	})
	file := rewind.FragmentOf("Data.fs", first).Data
	if len(st.SetAside) != 1 || st.SetAside[0].First != first || st.SetAside[0].Until != until ||
		st.SetAside[0].Last != last || st.SetAside[0].File != file || st.SetAside[0].Why != cluster.WhyUntold {
		t.Errorf("its status says %+v", st.SetAside)
	}
	at, err := time.Parse(time.RFC3339, st.SetAside[0].At)
	if err != nil || at.After(time.Now().Add(time.Second)) {
		t.Errorf("it was set aside at %v, %v", at, err)
	}
	m, err := rewind.ReadManifest(s.disk, rewind.FragmentOf("Data.fs", first).Manifest)
	if err != nil || m.Transactions[0].Tid != first || m.Transactions[len(m.Transactions)-1].Tid != until {
		t.Errorf("set aside: %+v, %v", m, err)
	}
}

// Commits waited for a secondary, and no client was told of the last ones: whatever they have, the former primary sets
// them aside and follows, without a person.
func TestATailThatNobodyWasToldOfIsRewoundByItself(t *testing.T) {
	a, b := waiting(t, func(*cluster.SyncConfig) {})
	for range 8 {
		a.commits(t)
	}
	common := a.st.LastTid()
	b.has(t, common)
	b.Await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
	var first, until zodb.Tid
	next := alone(t, a, b, func() {
		first = a.commits(t)
		until = a.commits(t)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Cleared(over, first); err == nil {
			t.Fatal("a client is told of it")
		}
	})
	again := a.start(t, state.RolePrimary, b.site)
	again.setsAside(t, first, until, common, next)
	if id, err := state.Load(again.disk, "Data.fs"); err != nil || id.Waits != nil || id.Rewind != nil {
		t.Errorf("it keeps %+v, %v", id, err)
	}
}

// The same where the former primary was started again, as primary, before another node took its place.
func TestAStartBetweenDoesNotHideWhatNobodyWasToldOf(t *testing.T) {
	a, b := waiting(t, func(*cluster.SyncConfig) {})
	for range 8 {
		a.commits(t)
	}
	common := a.st.LastTid()
	b.has(t, common)
	b.Await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
	b.StopFollowing()
	first := a.commits(t)
	a.End(t)
	again := a.start(t, state.RolePrimary, b.site)
	if !again.IsPrimary() {
		t.Fatal("it does not lead")
	}
	next := alone(t, again, b, func() {})
	last := a.start(t, state.RolePrimary, b.site)
	last.setsAside(t, first, first, common, next)
}

// The node that is promoted has to have heard enough of those that commits waited for, and to have what they have.
// Otherwise a client may have been told.
func TestATailThatSomebodyMayHaveBeenToldOfWaitsForAPerson(t *testing.T) {
	t.Run("the promoted node knows that it has everything", func(t *testing.T) {
		a, b, c := waitingThree(t)
		common := a.st.LastTid()
		c.StopFollowing()
		var first zodb.Tid
		b.StopFollowing()
		first = a.commits(t)
		a.End(t)
		b.StartFollowing()
		c.StartFollowing()
		if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
			t.Fatal(err)
		}
		a.start(t, state.RolePrimary, b.site, c.site).setsAside(t, first, first, common, b.commits(t))
	})
	t.Run("a secondary that did not vote has it", func(t *testing.T) {
		a, b, c := waitingThree(t)
		b.StopFollowing()
		tid := a.commits(t)
		if err := a.Cleared(t.Context(), tid); err != nil {
			t.Fatal(err)
		}
		c.End(t)
		a.End(t)
		b.StartFollowing()
		if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
			t.Fatal(err)
		}
		waitsForAPerson(t, a.start(t, state.RolePrimary, b.site), b)
	})
	t.Run("a secondary that is further has voted", func(t *testing.T) {
		a, b, c := waitingThree(t)
		b.StopFollowing()
		tid := a.commits(t)
		if err := a.Cleared(t.Context(), tid); err != nil {
			t.Fatal(err)
		}
		a.End(t)
		b.StartFollowing()
		if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
			t.Fatal(err)
		}
		c.End(t) // it was told by that one, and does not follow
		waitsForAPerson(t, a.start(t, state.RolePrimary, b.site), b)
	})
	t.Run("commits did not wait for a while", func(t *testing.T) {
		a, b := waiting(t, func(c *cluster.SyncConfig) {
			c.Timeout, c.OnTimeout = time.Millisecond, cluster.SyncDegrade
		})
		for range 8 {
			a.commits(t)
		}
		b.has(t, a.st.LastTid())
		b.Await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
		alone(t, a, b, func() {
			if err := a.Cleared(t.Context(), a.commits(t)); err != nil {
				t.Fatal(err)
			}
		})
		waitsForAPerson(t, a.start(t, state.RolePrimary, b.site), b)
	})
	t.Run("a pack has written it", func(t *testing.T) {
		a, b := waiting(t, func(*cluster.SyncConfig) {})
		for oid := range zodb.Oid(9) { // what the pack leaves there
			txn, err := a.st.Begin(t.Context(), &zodb.TxnMeta{})
			if err == nil {
				err = txn.Store(oid+2, 0, []byte("stays"))
			}
			if err == nil {
				_, err = txn.Finish(t.Context(), nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		b.has(t, a.st.LastTid())
		b.Await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
		alone(t, a, b, func() {
			a.commits(t)
			last := a.commits(t)
			if res, err := a.st.Pack(t.Context(), last, filestorage.PackOptions{}); err != nil || !res.Packed {
				t.Fatalf("%+v, %v", res, err)
			}
		})
		waitsForAPerson(t, a.start(t, state.RolePrimary, b.site), b)
	})
	t.Run("it was started without waiting in between", func(t *testing.T) {
		a, b := waiting(t, func(*cluster.SyncConfig) {})
		for range 8 {
			a.commits(t)
		}
		b.has(t, a.st.LastTid())
		b.Await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
		b.StopFollowing()
		a.commits(t)
		a.End(t)
		sync := a.sync
		a.sync = cluster.SyncConfig{}
		a.start(t, state.RolePrimary, b.site).End(t) // its clients are told of everything
		a.sync = sync
		again := a.start(t, state.RolePrimary, b.site)
		alone(t, again, b, func() {})
		waitsForAPerson(t, a.start(t, state.RolePrimary, b.site), b)
	})
}

// When commits have waited again for a while, what comes then is judged as ever.
func TestWhatWasCommittedAfterADegradedTimeCounts(t *testing.T) {
	a, b := waiting(t, func(c *cluster.SyncConfig) { c.Timeout, c.OnTimeout = time.Millisecond, cluster.SyncDegrade })
	b.StopFollowing()
	for range 8 {
		if err := a.Cleared(t.Context(), a.commits(t)); err != nil {
			t.Fatal(err)
		}
	}
	if w := a.keep.State().Waits; w == nil || !w.Paused {
		t.Fatalf("while commits do not wait, its state says %+v", w)
	}
	common := a.st.LastTid()
	b.StartFollowing()
	b.has(t, common)
	a.Await(t, "commits wait again", func(*admin.Status) bool {
		w := a.keep.State().Waits
		return w != nil && !w.Paused && w.After == common
	})
	b.Await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
	var first zodb.Tid
	next := alone(t, a, b, func() { first = a.commits(t) })
	a.start(t, state.RolePrimary, b.site).setsAside(t, first, first, common, next)
}

// That commits do not wait is durable before one of them is told, wherever power is lost, and where it cannot be
// written down they wait on.
func TestACrashWhenCommitsBeginNotToWait(t *testing.T) {
	for e, told := 1, false; !told; e++ {
		disk := nodetest.DiskWith(t, 3)
		sa, sb := newSite(t, disk), newSite(t, simdisk.New())
		sa.sync = cluster.SyncConfig{Required: 1, Timeout: time.Millisecond, OnTimeout: cluster.SyncDegrade}
		a := sa.start(t, state.RolePrimary, sb)
		b := sb.start(t, state.RoleSecondary, sa)
		b.has(t, a.st.LastTid())
		b.StopFollowing()
		tid := a.commits(t)
		disk.PowerOffAt(len(disk.Ops()) + e)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // it waits on where it cannot be written
		told = a.Cleared(ctx, tid) == nil
		cancel()
		for seed := range uint64(4) {
			s, err := state.Load(disk.Crash(seed), "Data.fs")
			if err != nil {
				t.Fatal(err)
			}
			if told && !s.Waits.Paused {
				t.Errorf("operation %d: a client was told, and the disk says %+v", e, s.Waits)
			}
		}
		a.Stop()
		<-a.Ended // with whatever error a disk without power gives
		a.Ended <- nil
		b.End(t)
	}
}

// A secondary is noted before what it acknowledges counts, and again when it may have lost something.
func TestWhoCountsIsNotedFirst(t *testing.T) {
	a, b := waiting(t, func(*cluster.SyncConfig) {})
	a.commits(t)
	w := a.keep.State().Waits
	if w == nil || w.Required != 1 || w.Epoch != 1 || !slices.Equal(w.Nodes, []string{b.keep.Node()}) {
		t.Fatalf("it notes %+v", w)
	}
	other := "9d3a6c1e-52f0-4b8e-8a77-3f1c20de9b64"
	last := a.st.LastTid()
	for _, c := range []struct {
		node, replaces string
		less           bool
		nodes          []string
		behind         zodb.Tid
	}{
		{b.keep.Node(), "", false, w.Nodes, w.After},
		{other, "", false, append(w.Nodes[:1:1], other), w.After},
		{other, b.keep.Node(), false, []string{other}, last},
	} {
		if err := a.Counts(primary.Counting{Node: c.node, Replaces: c.replaces, Less: c.less}); err != nil {
			t.Fatal(err)
		}
		if now := a.keep.State().Waits; !slices.Equal(now.Nodes, c.nodes) || now.After != c.behind {
			t.Errorf("%+v: it notes %+v", c, now)
		}
	}
	a.commits(t)
	err := a.Counts(primary.Counting{Node: other, Less: true})
	if err != nil || a.keep.State().Waits.After != a.st.LastTid() {
		t.Errorf("with less than before: it notes %+v, %v", a.keep.State().Waits, err)
	}
}

// A node that is promoted notes it from the beginning of its epoch on, with who had voted for that; one that goes on
// under a higher epoch keeps what it had noted. Voters of an epoch that is forgotten are not noted: they say nothing of
// the one before.
func TestAnEpochBeginsWithWhatCommitsWaitFor(t *testing.T) {
	a, b, c := waitingThree(t)
	a.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	id := b.keep.State()
	own := id.Epoch()
	if w := id.Waits; w == nil || w.Epoch != own.Number || w.After != own.Begin || w.Required != 1 || w.Paused {
		t.Errorf("of epoch %+v it notes %+v", own, id.Waits)
	}
	if !slices.Equal(own.Voters, []string{b.keep.Node(), c.keep.Node()}) {
		t.Errorf("voters were %q", own.Voters)
	}
	c.has(t, b.commits(t))
	before := b.keep.State().Waits
	if err := b.BeginEpoch(own.Number+1, b.st.LastTid(), nil); err != nil {
		t.Fatal(err)
	}
	if w := b.keep.State().Waits; w != before || !slices.Contains(w.Nodes, c.keep.Node()) {
		t.Errorf("going on it notes %+v, before %+v", w, before)
	}
	c.StopFollowing()
	last := c.st.LastTid()
	if err := c.keep.Update(func(id *state.State) error {
		id.Epochs = append(id.Epochs, protocol.Epoch{Number: 7, Begin: last + 1, Node: b.keep.Node()})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.BeginEpoch(8, last, []string{c.keep.Node()}); err != nil {
		t.Fatal(err)
	}
	if e := c.keep.State().Epoch(); e.Number != 8 || e.Voters != nil {
		t.Errorf("after a forgotten epoch it begins %+v", e)
	}
}

// A primary that is started again keeps what it had noted, unless it was started with a rule that tells clients more.
func TestAStartKeepsOrDropsWhatCommitsWaitedFor(t *testing.T) {
	type waits = state.Waits
	nodes := []string{"9d3a6c1e-52f0-4b8e-8a77-3f1c20de9b64"}
	for name, c := range map[string]struct {
		before *waits
		sync   cluster.SyncConfig
		after  *waits // Behind 1: the last transaction
	}{
		"the same rule": {
			&waits{Epoch: 1, After: 7, Required: 1, Nodes: nodes}, cluster.SyncConfig{Required: 1},
			&waits{Epoch: 1, After: 7, Required: 1, Nodes: nodes},
		},
		"for fewer": {
			&waits{Epoch: 1, After: 7, Required: 2}, cluster.SyncConfig{Required: 1},
			&waits{Epoch: 1, After: 7, Required: 1},
		},
		"for more": {
			&waits{Epoch: 1, After: 7, Required: 1}, cluster.SyncConfig{Required: 2},
			&waits{Epoch: 1, After: 7, Required: 1},
		},
		"for nobody": {&waits{Epoch: 1, After: 7, Required: 1}, cluster.SyncConfig{}, nil},
		"they did not wait": {
			&waits{Epoch: 1, After: 7, Required: 1, Nodes: nodes, Paused: true}, cluster.SyncConfig{Required: 1},
			&waits{Epoch: 1, After: 1, Required: 1, Nodes: nodes},
		},
		"of an older version": {nil, cluster.SyncConfig{Required: 1}, &waits{Epoch: 1, After: 1, Required: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			disk := nodetest.DiskWith(t, 3)
			s := newSite(t, disk)
			keep, err := state.Open(disk, "Data.fs")
			if err == nil {
				err = errors.Join(keep.Create(), keep.Update(func(id *state.State) error {
					id.Waits = c.before
					return nil
				}))
			}
			if err != nil {
				t.Fatal(err)
			}
			s.sync = c.sync
			running := s.start(t, state.RolePrimary)
			want := c.after
			if want != nil && want.After == 1 {
				want.After = running.st.LastTid()
			}
			got := running.keep.State().Waits
			if (got == nil) != (want == nil) || got != nil && (got.Epoch != want.Epoch || got.After != want.After ||
				got.Required != want.Required || !slices.Equal(got.Nodes, want.Nodes) || got.Paused != want.Paused) {
				t.Errorf("it notes %+v, want %+v", got, want)
			}
		})
	}
}
