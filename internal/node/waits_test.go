package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// waitingThree seats a primary whose commits wait for one of two named secondaries, and these, with some transactions
// that all have.
func waitingThree(t *testing.T) (a, b, c *seat) {
	t.Helper()
	sa, sb, sc := newSite(t, diskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	for name, s := range map[string]*site{"a": sa, "b": sb, "c": sc} {
		s.name = name
		s.sync = SyncConfig{Required: 1, Names: []string{"a", "b", "c"}, Timeout: time.Hour}
	}
	a = sa.seated(t, state.RolePrimary, sb, sc)
	b = sb.seated(t, state.RoleSecondary, sa, sc)
	c = sc.seated(t, state.RoleSecondary, sa, sb)
	for range 8 { // so that what goes is less than half of the file
		a.commits(t)
	}
	for _, s := range []*seat{b, c} {
		s.has(t, a.st.LastTid())
		s.await(t, "it knows the rule", func(*admin.Status) bool { return s.sec.Status().Sync.Required == 1 })
	}
	return a, b, c
}

// alone has the first of two nodes commit what the other one never gets, by f, and the other one take its place.
func alone(t *testing.T, a, b *seat, f func()) (last zodb.Tid) {
	t.Helper()
	b.stopFollowing()
	f()
	a.end(t)
	b.follow()
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	return b.commits(t)
}

// setsAside waits until a node has set something aside by itself, once, and follows.
func (s *seat) setsAside(t *testing.T, first, until, last, next zodb.Tid) {
	t.Helper()
	s.has(t, next)
	st := s.await(t, "it follows", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "live"
	})
	file := rewind.FragmentOf("Data.fs", first).Data
	if len(st.SetAside) != 1 || st.SetAside[0].First != first || st.SetAside[0].Until != until ||
		st.SetAside[0].Last != last || st.SetAside[0].File != file || st.SetAside[0].Why != whyUntold {
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
	a, b := waiting(t, func(*SyncConfig) {})
	for range 8 {
		a.commits(t)
	}
	common := a.st.LastTid()
	b.has(t, common)
	b.await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
	var first, until zodb.Tid
	next := alone(t, a, b, func() {
		first = a.commits(t)
		until = a.commits(t)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.sync.Cleared(over, first); err == nil {
			t.Fatal("a client is told of it")
		}
	})
	again := a.seated(t, state.RolePrimary, b.site)
	again.setsAside(t, first, until, common, next)
	if id, err := state.Load(again.disk, "Data.fs"); err != nil || id.Waits != nil || id.Rewind != nil {
		t.Errorf("it keeps %+v, %v", id, err)
	}
}

// The same where the former primary was started again, as primary, before another node took its place.
func TestAStartBetweenDoesNotHideWhatNobodyWasToldOf(t *testing.T) {
	a, b := waiting(t, func(*SyncConfig) {})
	for range 8 {
		a.commits(t)
	}
	common := a.st.LastTid()
	b.has(t, common)
	b.await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
	b.stopFollowing()
	first := a.commits(t)
	a.end(t)
	again := a.seated(t, state.RolePrimary, b.site)
	if !again.isLeading() {
		t.Fatal("it does not lead")
	}
	next := alone(t, again, b, func() {})
	last := a.seated(t, state.RolePrimary, b.site)
	last.setsAside(t, first, first, common, next)
}

// The node that is promoted has to have heard enough of those that commits waited for, and to have what they have.
// Otherwise a client may have been told.
func TestATailThatSomebodyMayHaveBeenToldOfWaitsForAPerson(t *testing.T) {
	t.Run("the promoted node knows that it has everything", func(t *testing.T) {
		a, b, c := waitingThree(t)
		common := a.st.LastTid()
		c.stopFollowing()
		var first zodb.Tid
		b.stopFollowing()
		first = a.commits(t)
		a.end(t)
		b.follow()
		c.follow()
		if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
			t.Fatal(err)
		}
		a.seated(t, state.RolePrimary, b.site, c.site).setsAside(t, first, first, common, b.commits(t))
	})
	t.Run("a secondary that did not promise has it", func(t *testing.T) {
		a, b, c := waitingThree(t)
		b.stopFollowing()
		tid := a.commits(t)
		if err := a.sync.Cleared(t.Context(), tid); err != nil {
			t.Fatal(err)
		}
		c.end(t)
		a.end(t)
		b.follow()
		if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
			t.Fatal(err)
		}
		waitsForAPerson(t, a.seated(t, state.RolePrimary, b.site), b)
	})
	t.Run("a secondary that is further has promised", func(t *testing.T) {
		a, b, c := waitingThree(t)
		b.stopFollowing()
		tid := a.commits(t)
		if err := a.sync.Cleared(t.Context(), tid); err != nil {
			t.Fatal(err)
		}
		a.end(t)
		b.follow()
		if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
			t.Fatal(err)
		}
		c.end(t) // it was told by that one, and does not follow
		waitsForAPerson(t, a.seated(t, state.RolePrimary, b.site), b)
	})
	t.Run("commits did not wait for a while", func(t *testing.T) {
		a, b := waiting(t, func(c *SyncConfig) { c.Timeout, c.OnTimeout = time.Millisecond, SyncDegrade })
		for range 8 {
			a.commits(t)
		}
		b.has(t, a.st.LastTid())
		b.await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
		alone(t, a, b, func() {
			if err := a.sync.Cleared(t.Context(), a.commits(t)); err != nil {
				t.Fatal(err)
			}
		})
		waitsForAPerson(t, a.seated(t, state.RolePrimary, b.site), b)
	})
	t.Run("a pack has written it", func(t *testing.T) {
		a, b := waiting(t, func(*SyncConfig) {})
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
		b.await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
		alone(t, a, b, func() {
			a.commits(t)
			last := a.commits(t)
			if res, err := a.st.Pack(t.Context(), last, filestorage.PackOptions{}); err != nil || !res.Packed {
				t.Fatalf("%+v, %v", res, err)
			}
		})
		waitsForAPerson(t, a.seated(t, state.RolePrimary, b.site), b)
	})
	t.Run("it was started without waiting in between", func(t *testing.T) {
		a, b := waiting(t, func(*SyncConfig) {})
		for range 8 {
			a.commits(t)
		}
		b.has(t, a.st.LastTid())
		b.await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
		b.stopFollowing()
		a.commits(t)
		a.end(t)
		sync := a.site.sync
		a.site.sync = SyncConfig{}
		a.seated(t, state.RolePrimary, b.site).end(t) // its clients are told of everything
		a.site.sync = sync
		again := a.seated(t, state.RolePrimary, b.site)
		alone(t, again, b, func() {})
		waitsForAPerson(t, a.seated(t, state.RolePrimary, b.site), b)
	})
}

// When commits have waited again for a while, what comes then is judged as ever.
func TestWhatWasCommittedAfterADegradedTimeCounts(t *testing.T) {
	a, b := waiting(t, func(c *SyncConfig) { c.Timeout, c.OnTimeout = time.Millisecond, SyncDegrade })
	b.stopFollowing()
	for range 8 {
		if err := a.sync.Cleared(t.Context(), a.commits(t)); err != nil {
			t.Fatal(err)
		}
	}
	if w := a.keep.State().Waits; w == nil || !w.Paused {
		t.Fatalf("while commits do not wait, its state says %+v", w)
	}
	common := a.st.LastTid()
	b.follow()
	b.has(t, common)
	a.await(t, "commits wait again", func(*admin.Status) bool {
		w := a.keep.State().Waits
		return w != nil && !w.Paused && w.Behind == common
	})
	b.await(t, "it knows the rule", func(*admin.Status) bool { return b.sec.Status().Sync.Required == 1 })
	var first zodb.Tid
	next := alone(t, a, b, func() { first = a.commits(t) })
	a.seated(t, state.RolePrimary, b.site).setsAside(t, first, first, common, next)
}

// That commits do not wait is durable before one of them is told, wherever power is lost, and where it cannot be
// written down they wait on.
func TestACrashWhenCommitsBeginNotToWait(t *testing.T) {
	for n, told := 1, false; !told; n++ {
		disk := diskWith(t, 3)
		sa, sb := newSite(t, disk), newSite(t, simdisk.New())
		sa.sync = SyncConfig{Required: 1, Timeout: time.Millisecond, OnTimeout: SyncDegrade}
		a := sa.seated(t, state.RolePrimary, sb)
		b := sb.seated(t, state.RoleSecondary, sa)
		b.has(t, a.st.LastTid())
		b.stopFollowing()
		tid := a.commits(t)
		disk.PowerOffAt(len(disk.Ops()) + n)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // it waits on where it cannot be written
		told = a.sync.Cleared(ctx, tid) == nil
		cancel()
		for seed := range uint64(4) {
			s, err := state.Load(disk.Crash(seed), "Data.fs")
			if err != nil {
				t.Fatal(err)
			}
			if told && !s.Waits.Paused {
				t.Errorf("operation %d: a client was told, and the disk says %+v", n, s.Waits)
			}
		}
		a.stop()
		<-a.running.ended // with whatever error a disk without power gives
		a.running.ended <- nil
		b.end(t)
	}
}

// A secondary is noted before what it acknowledges counts, and again when it may have lost something.
func TestWhoCountsIsNotedFirst(t *testing.T) {
	a, b := waiting(t, func(*SyncConfig) {})
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
		{b.keep.Node(), "", false, w.Nodes, w.Behind},
		{other, "", false, append(w.Nodes[:1:1], other), w.Behind},
		{other, b.keep.Node(), false, []string{other}, last},
	} {
		if err := a.Counts(primary.Counting{Node: c.node, Replaces: c.replaces, Less: c.less}); err != nil {
			t.Fatal(err)
		}
		if now := a.keep.State().Waits; !slices.Equal(now.Nodes, c.nodes) || now.Behind != c.behind {
			t.Errorf("%+v: it notes %+v", c, now)
		}
	}
	a.commits(t)
	err := a.Counts(primary.Counting{Node: other, Less: true})
	if err != nil || a.keep.State().Waits.Behind != a.st.LastTid() {
		t.Errorf("with less than before: it notes %+v, %v", a.keep.State().Waits, err)
	}
}

// A node that is promoted notes it from the beginning of its epoch on, with who had promised that; one that goes on
// under a higher epoch keeps what it had noted. Voters of an epoch that is forgotten are not noted: they say nothing of
// the one before.
func TestAnEpochBeginsWithWhatCommitsWaitFor(t *testing.T) {
	a, b, c := waitingThree(t)
	a.end(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	id := b.keep.State()
	own := id.Epoch()
	if w := id.Waits; w == nil || w.Epoch != own.Number || w.Behind != own.Begin || w.Required != 1 || w.Paused {
		t.Errorf("of epoch %+v it notes %+v", own, id.Waits)
	}
	if !slices.Equal(own.Voters, []string{b.keep.Node(), c.keep.Node()}) {
		t.Errorf("voters were %q", own.Voters)
	}
	c.has(t, b.commits(t))
	before := b.keep.State().Waits
	if err := b.beginEpoch(own.Number+1, b.st.LastTid(), nil); err != nil {
		t.Fatal(err)
	}
	if w := b.keep.State().Waits; w != before || !slices.Contains(w.Nodes, c.keep.Node()) {
		t.Errorf("going on it notes %+v, before %+v", w, before)
	}
	c.stopFollowing()
	last := c.st.LastTid()
	if err := c.keep.Update(func(id *state.State) error {
		id.Epochs = append(id.Epochs, protocol.Epoch{Number: 7, Begin: last + 1, Node: b.keep.Node()})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.beginEpoch(8, last, []string{c.keep.Node()}); err != nil {
		t.Fatal(err)
	}
	if e := c.keep.State().Epoch(); e.Number != 8 || e.Voters != nil {
		t.Errorf("behind a forgotten epoch it begins %+v", e)
	}
}

// A primary that is started again keeps what it had noted, unless it was started with a rule that tells clients more.
func TestAStartKeepsOrDropsWhatCommitsWaitedFor(t *testing.T) {
	type waits = state.Waits
	nodes := []string{"9d3a6c1e-52f0-4b8e-8a77-3f1c20de9b64"}
	for name, c := range map[string]struct {
		before *waits
		sync   SyncConfig
		after  *waits // Behind 1: the last transaction
	}{
		"the same rule": {
			&waits{Epoch: 1, Behind: 7, Required: 1, Nodes: nodes}, SyncConfig{Required: 1},
			&waits{Epoch: 1, Behind: 7, Required: 1, Nodes: nodes},
		},
		"for fewer": {
			&waits{Epoch: 1, Behind: 7, Required: 2}, SyncConfig{Required: 1}, &waits{Epoch: 1, Behind: 7, Required: 1},
		},
		"for more": {
			&waits{Epoch: 1, Behind: 7, Required: 1}, SyncConfig{Required: 2}, &waits{Epoch: 1, Behind: 7, Required: 1},
		},
		"for nobody": {&waits{Epoch: 1, Behind: 7, Required: 1}, SyncConfig{}, nil},
		"they did not wait": {
			&waits{Epoch: 1, Behind: 7, Required: 1, Nodes: nodes, Paused: true}, SyncConfig{Required: 1},
			&waits{Epoch: 1, Behind: 1, Required: 1, Nodes: nodes},
		},
		"of an older version": {nil, SyncConfig{Required: 1}, &waits{Epoch: 1, Behind: 1, Required: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			disk := diskWith(t, 3)
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
			seat := s.seated(t, state.RolePrimary)
			want := c.after
			if want != nil && want.Behind == 1 {
				want.Behind = seat.st.LastTid()
			}
			got := seat.keep.State().Waits
			if (got == nil) != (want == nil) || got != nil && (got.Epoch != want.Epoch || got.Behind != want.Behind ||
				got.Required != want.Required || !slices.Equal(got.Nodes, want.Nodes) || got.Paused != want.Paused) {
				t.Errorf("it notes %+v, want %+v", got, want)
			}
		})
	}
}

// A server that does not replicate tells its clients of everything.
func TestWhoServesAloneForgetsWhatCommitsWaitedFor(t *testing.T) {
	disk := diskWith(t, 3)
	keep, err := state.Open(disk, "Data.fs")
	if err == nil {
		err = errors.Join(keep.Create(), keep.Update(func(id *state.State) error {
			id.Waits = &state.Waits{Epoch: 1, Required: 1}
			return nil
		}))
	}
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, disk)
	cfg := &StandaloneConfig{Config: s.config()}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	f := newNodeStatus(roleStandalone, &cfg.Config)
	st, err := cfg.open(t.Context(), f, blobDir{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if now, err := state.Load(disk, "Data.fs"); err != nil || now.Waits != nil {
		t.Errorf("it keeps %+v, %v", now.Waits, err)
	}
}

// Voters are those of the same last epoch that are no further.
func TestWhoIsNotedAsAVoter(t *testing.T) {
	last := protocol.Epoch{Number: 4, Begin: 9, Node: "x"}
	id := &state.State{Node: "own", Epochs: []protocol.Epoch{{Number: 1}, last}}
	status := func(node string, change func(*protocol.NodeStatus)) answer {
		p := &protocol.NodeStatus{Node: node, Epochs: id.Epochs, LastTid: 20}
		change(p)
		return answer{status: p}
	}
	answers := []answer{
		{err: errors.New("away")},
		status("b", func(*protocol.NodeStatus) {}),
		status("b", func(*protocol.NodeStatus) {}),
		status("further", func(p *protocol.NodeStatus) { p.LastTid = 21 }),
		status("behind", func(p *protocol.NodeStatus) { p.Epochs = p.Epochs[:1] }),
		status("heard", func(p *protocol.NodeStatus) { p.MaxEpochBegun = 5 }),
		status("of another one", func(p *protocol.NodeStatus) {
			p.Epochs = []protocol.Epoch{{Number: 1}, {Number: 4, Begin: 9, Node: "y"}}
		}),
		status("c", func(p *protocol.NodeStatus) { p.LastTid = 3 }),
	}
	if list := voters(id, 20, answers); !slices.Equal(list, []string{"own", "b", "c"}) {
		t.Errorf("noted are %q", list)
	}
	id.MaxEpochBegun = 5
	if list := voters(id, 20, answers); list != nil {
		t.Errorf("by a node that has heard of a later epoch: %q", list)
	}
}
