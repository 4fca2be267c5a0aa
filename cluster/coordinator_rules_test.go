package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/leasetest"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
)

// coordinated is standing with a coordinator that is asked when takePart is called.
func coordinated(t *testing.T, change func(*Options)) (n *Node, sec *scriptedSecondary, memory *leasetest.Memory) {
	t.Helper()
	memory = new(leasetest.Memory)
	timing, err := lease.NewTiming(lease.DefaultTTL)
	if err != nil {
		t.Fatal(err)
	}
	n, sec, _ = standing(t, func(opt *Options) {
		opt.Watch = new(watchdog.Board)
		opt.Coordinator = &CoordinatorOptions{
			Timing: timing, Open: func(string) (lease.Coordinator, error) { return memory, nil },
		}
		if change != nil {
			change(opt)
		}
	})
	return n, sec, memory
}

// What a node says of itself to the coordinator.
func TestWhatACoordinatorIsToldOfANode(t *testing.T) {
	handsOver := func(n *Node) { update(n, func(id *state.State) { id.HandOver(2, nodeB) }) }
	for name, c := range map[string]struct {
		prepare  func(*Node)
		leads    bool
		eligible bool
		fault    bool
	}{
		"a secondary": {func(*Node) {}, false, true, false},
		"a primary":   {func(n *Node) { n.setPrimary(true) }, true, true, false},
		"one that was replaced": {func(n *Node) {
			n.setPrimary(true)
			n.noteUnwritten(4)
		}, false, true, false},
		"one with a fault": {func(n *Node) {
			n.setPrimary(true)
			n.entered.Store(true)
			n.sync.overdue = 7
		}, true, false, true},
		"one that hands over": {handsOver, true, true, false},
		"one whose successor does not come": {func(n *Node) {
			handsOver(n)
			n.failover.handoverSince = time.Now().Add(-n.failover.timing.TTL)
		}, false, true, false},
		"one that has handed over": {func(n *Node) {
			handsOver(n)
			begunElsewhere(n, n.sec.(*scriptedSecondary))
		}, false, true, false},
		"a copy of one that hands over": {func(n *Node) {
			handsOver(n)
			update(n, func(id *state.State) { id.Was = nodeC })
		}, false, true, false},
		"one that has voted": {func(n *Node) {
			update(n, func(id *state.State) { id.Vote(2, nodeB) })
		}, false, true, false},
		"one that nobody can follow":   {func(n *Node) { n.opt.ReplicationAddr = "" }, false, false, false},
		"one without blobs of its own": {func(n *Node) { n.opt.SharedBlobs = true }, false, false, false},
		"one that is refused": {func(n *Node) {
			n.sec.(*scriptedSecondary).set(secondary.Status{State: secondary.StateRefused})
		}, false, false, false},
		"one with an apply delay": {func(n *Node) { n.opt.ApplyDelay = time.Hour }, false, false, false},
		"a primary with an apply delay": {func(n *Node) {
			n.opt.ApplyDelay = time.Hour
			n.setPrimary(true)
		}, true, true, false},
		"one that has failed": {func(n *Node) {
			n.sec.(*scriptedSecondary).set(secondary.Status{State: secondary.StateFailed})
		}, false, false, false},
	} {
		n, _, _ := coordinated(t, nil)
		c.prepare(n)
		s := n.failover.Status()
		if s.IsPrimary != c.leads || s.Eligible != c.eligible || (s.Reason == "") != c.eligible ||
			(s.Fault != "") != c.fault {
			t.Errorf("%s: %+v", name, s)
		}
		id := n.keep.State()
		if s.Node != id.Node || s.Epoch != id.Epoch().Number || s.MaxEpochSeen != id.Highest() ||
			s.Tid != n.st.LastTid() ||
			s.NeedsTid != n.lastTold() || s.NeedsOthers != 1 || !s.DiskHasRoom || s.DiskFull ||
			s.ReplicationAddr != n.opt.ReplicationAddr || s.Name != "own" {
			t.Errorf("%s: %+v", name, s)
		}
	}
	n, _, _ := coordinated(t, nil) // the time of a successor begins anew with each handover
	n.failover.handoverSince = time.Now().Add(-time.Hour)
	if n.failover.Status().IsPrimary {
		t.Error("it hands over to nobody")
	}
	if handsOver(n); !n.failover.Status().IsPrimary {
		t.Error("it does not keep the lease for its successor")
	}
}

// Whom the coordinator names is followed; a primary steps down for it.
func TestAnElectedLeaderIsFollowed(t *testing.T) {
	for _, leads := range []bool{true, false} {
		var access []zeo.Access
		n, sec, _ := coordinated(t, func(opt *Options) {
			opt.SetAccess = func(a zeo.Access) { access = append(access, a) }
		})
		n.setPrimary(leads)
		if err := n.failover.Follow(t.Context(), 4, lease.MemberStatus{ReplicationAddr: "z:1"}); err != nil {
			t.Fatal(err)
		}
		if id := n.keep.State(); n.IsPrimary() || !n.isFollowing() || id.Follow[0] != "z:1" ||
			(id.Highest() == 4) != leads ||
			id.Latest() != 1 || len(access) > 0 != leads || len(n.failover.changed) > 0 != leads {
			t.Errorf("led %v: follows %v at %q, keeps %+v, clients may %v", leads, n.isFollowing(), sec.looked(), id,
				access)
		}
	}
	n, _, _ := coordinated(t, nil)
	if err := n.failover.Lead(t.Context(), 2); err != nil || !n.IsPrimary() || n.keep.State().Epoch().Number != 2 {
		t.Errorf("elected: %v, leads %v", err, n.IsPrimary())
	}
	n.changing <- struct{}{}
	defer func() { <-n.changing }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.failover.Follow(ctx, 3, lease.MemberStatus{}); !errors.Is(err, context.Canceled) {
		t.Errorf("while the role changes: %v", err)
	}
}

// A commit is told of under a lease of this node, or where it follows a primary that has it: A1.
func TestWhenACommitMayBeToldOf(t *testing.T) {
	n, sec, _ := coordinated(t, nil)
	if n.HasLease() {
		t.Error("before it has followed anybody")
	}
	sec.set(secondary.Status{Connected: true})
	if !n.HasLease() {
		t.Error("a secondary with a primary")
	}
	sec.set(secondary.Status{})
	if n.failover.roleChanged(); !n.HasLease() {
		t.Error("a secondary that had one")
	}
	n.setPrimary(true)
	n.failover.roleChanged()
	if n.HasLease() {
		t.Error("a primary without a lease")
	}
	later := n.says("b", 0, func(p *protocol.NodeStatus) { p.Epochs = []protocol.Epoch{{Number: 1, Begin: 1}} }).status
	if !n.yieldsTo(n.keep.State(), later) {
		t.Error("a primary without a lease does not yield to one that goes before it")
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1)
	go func() { told <- n.awaitCommitted(ctx, 1) }()
	cancel()
	if err := <-told; !errors.Is(err, context.Canceled) {
		t.Errorf("without a lease: %v", err)
	}
	leave := n.TakePart()
	if err := n.awaitCommitted(t.Context(), 1); err != nil || !n.HasLease() {
		t.Errorf("with a lease: %v", err)
	}
	if got := n.Coordinator(); *got.Leader != "own" || *got.Epoch != 1 || got.LeaseRemaining <= 0 ||
		len(got.Members) != 1 ||
		got.Doing == nil || got.Maintenance {
		t.Errorf("it shows %+v", got)
	}
	if n.yieldsTo(n.keep.State(), later) {
		t.Error("a primary with a lease yields to one without")
	}
	leave()
	if n.HasLease() {
		t.Error("it has given its lease back")
	}
	n.setPrimary(false)
	n.failover.roleChanged()
	if n.HasLease() {
		t.Error("what it had as primary alone is told by a secondary that has not been connected since")
	}
	without, _, _ := standing(t, nil)
	if !without.HasLease() || without.Coordinator() != nil || without.awaitCommitted(t.Context(), 1) != nil {
		t.Error("without a coordinator")
	}
}

// The lease is not all that a commit waits for: one that no secondary has is not told of under a lease.
func TestACommitThatNoSecondaryHasIsNotToldUnderALease(t *testing.T) {
	n, _, _ := coordinated(t, func(opt *Options) {
		opt.Sync = SyncConfig{Required: 1, Timeout: time.Hour, OnTimeout: SyncBlock}
	})
	n.setPrimary(true)
	n.sync.setLeading(true)
	defer n.TakePart()()
	until(t, "it has the lease", n.HasLease)
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1)
	go func() { told <- n.awaitCommitted(ctx, 1) }()
	isWaiting(t, n)
	cancel()
	if err := <-told; !errors.Is(err, context.Canceled) {
		t.Errorf("it was told of: %v", err)
	}
}

// A commit that waits for the lease is a stall until it is told.
func TestACommitThatWaitsForTheLeaseIsAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, sec, _ := coordinated(t, nil)
		told := make(chan error, 1)
		go func() { told <- n.awaitCommitted(t.Context(), 1) }()
		pause.For(t.Context(), watchdog.Limit)
		if got := n.opt.Watch.Stalls(time.Now()); len(got) != 1 || !strings.Contains(got[0].String(),
			"a commit waits for this node's lease") {
			t.Errorf("stalls: %v", got)
		}
		sec.set(secondary.Status{Connected: true})
		if err := <-told; err != nil {
			t.Error(err)
		}
		pause.For(t.Context(), watchdog.Limit)
		if got := n.opt.Watch.Stalls(time.Now()); len(got) > 0 {
			t.Errorf("it stalls: %v", got)
		}
	})
}

// A node without an identity takes no part yet; one that cannot use its coordinator says why.
func TestWhoTakesNoPart(t *testing.T) {
	n, _, _ := coordinated(t, nil)
	n.keep = unwritten()
	leave := n.TakePart()
	if got := n.Coordinator(); got.Doing == nil || got.LastError != nil {
		t.Errorf("%+v", got)
	}
	leave()
	n, _, _ = coordinated(t, func(opt *Options) {
		opt.Coordinator.Open = func(string) (lease.Coordinator, error) { return nil, errors.New("no such service") }
	})
	n.setPrimary(true)
	leave = n.TakePart()
	until(t, "it says why", func() bool { return n.Coordinator().LastError != nil })
	if n.HasLease() {
		t.Error("it has a lease")
	}
	leave()
}
