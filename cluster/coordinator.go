package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// CoordinatorOptions say who decides which node of a cluster leads.
type CoordinatorOptions struct {
	Timing lease.Timing
	Open   func(storageID string) (lease.Coordinator, error) // it connects when it is used
}

// A failoverNode has this node lead by the leases of a coordinator: it is a lease.Node. It reports no commits that
// another node could be primary without.
type failoverNode struct {
	node    *Node
	timing  lease.Timing
	open    func(storageID string) (lease.Coordinator, error)
	changed chan struct{} // 1 slot: the role is another

	mu            sync.Mutex
	loop          *lease.Loop // nil: it has not begun
	failed        string      // why it will not
	proven        bool        // as a secondary: all that is here is history of a primary
	handoverSince time.Time   // when it was seen that the successor of a handover does not lead yet; zero: it does
}

// newFailoverNode returns what takes part in the failover of a cluster; nil when there is no coordinator.
func (n *Node) newFailoverNode() *failoverNode {
	if n.opt.Coordinator == nil {
		return nil
	}
	return &failoverNode{
		node: n, timing: n.opt.Coordinator.Timing, open: n.opt.Coordinator.Open, changed: make(chan struct{}, 1),
	}
}

// identityEvery is how often a new copy looks whether it has its identity.
const identityEvery = time.Second

// run takes part until ctx ends, then gives the leader lease back.
func (f *failoverNode) run(ctx context.Context) {
	for f.node.keep.State() == nil {
		if pause.For(ctx, identityEvery); ctx.Err() != nil {
			return
		}
	}
	ref, err := f.open(f.node.keep.State().StorageID)
	if err != nil {
		f.node.opt.Logger.Error("cannot use the coordinator: this node does not become primary", "error", err,
			"warning", warning.CoordinatorLost)
		f.mu.Lock()
		f.failed = err.Error()
		f.mu.Unlock()
		return
	}
	loop := lease.New(ref, f, lease.Options{
		Timing: f.timing, MaxLag: f.node.opt.ReadyLag, Changed: f.changed,
		Logger: f.node.opt.Logger.Named("coordinator"),
	})
	f.mu.Lock()
	f.loop = loop
	f.mu.Unlock()
	loop.Run(ctx)
	if err := ref.Close(); err != nil {
		f.node.opt.Logger.Info("leaving the coordinator failed", "error", err)
	}
}

// roleChanged is called when the node has begun or ceased to lead, before clients can do anything in the new role.
func (f *failoverNode) roleChanged() {
	if f == nil {
		return
	}
	f.mu.Lock()
	if f.node.IsPrimary() {
		f.proven = false
	}
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Status is lease.Node.
func (f *failoverNode) Status() lease.MemberStatus {
	id, n := f.node.keep.State(), f.node
	s := lease.MemberStatus{
		Node:         id.Node,
		Name:         n.opt.Name,
		Epoch:        id.Epoch().Number,
		MaxEpochSeen: id.Highest(),
		Tid:          n.st.LastTid(),
		IsPrimary: n.IsPrimary() && !n.Fenced() ||
			f.isHandingOver(id),
		ReplicationAddr: n.opt.ReplicationAddr,
		AdminAddr:       n.opt.AdminAddr,
	}
	s.Fault, s.NeedsOthers, s.NeedsTid = n.FaultReason(), n.nodesNeeded(), n.lastTold()
	s.DiskFull, s.DiskHasRoom = n.diskFull(), n.st.Roomy()
	if s.Reason = n.ineligibleReason(); s.Reason == "" {
		s.Reason = s.Fault
	}
	s.Eligible = s.Reason == ""
	return s
}

// ineligibleReason says why the node could not be primary; empty: it could.
func (n *Node) ineligibleReason() string {
	following := n.sec.Status()
	switch {
	case n.opt.ReplicationAddr == "":
		return "no secondary can connect to it: start it with --replicate-to"
	case n.opt.SharedBlobs:
		return "it has no blob directory of its own"
	case following.State == secondary.StateRefused || following.State == secondary.StateFailed:
		return "it is not a usable copy now: " + following.LastError
	case n.keep.State().Learner:
		return learnerText
	case n.SpareIdle():
		return spareText
	case n.isDelayed():
		return delayedText
	}
	return ""
}

// isHandingOver reports whether this node has stepped down for a successor that is not known to lead yet. It then keeps
// the lease for it: if it were vacant, others could take it. The successor has a TTL for that.
func (f *failoverNode) isHandingOver(id *state.State) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id.Was != "" || id.Successor == "" || id.MaxEpochSeen <= id.Epoch().Number {
		f.handoverSince = time.Time{}
		return false
	}
	if f.handoverSince.IsZero() {
		f.handoverSince = time.Now()
	}
	return time.Since(f.handoverSince) < f.timing.TTL
}

// Lead is lease.Node.
func (f *failoverNode) Lead(ctx context.Context, number uint64) error {
	return f.node.changeInTurn(ctx, func(ctx context.Context) error {
		return f.node.elect(ctx, number, func(s admin.Step) { f.node.opt.Logger.Info("election: " + s.Text) })
	})
}

// Follow is lease.Node.
func (f *failoverNode) Follow(ctx context.Context, number uint64, leader lease.MemberStatus) error {
	return f.node.changeInTurn(ctx, func(ctx context.Context) error {
		if f.node.IsPrimary() {
			return f.node.fence(ctx, number, false, leader.ReplicationAddr)
		}
		return f.node.followAt(leader.ReplicationAddr)
	})
}

// followAt makes a secondary follow the node at an address, unless it does, or is about to: it may be connected at any
// moment then. It does not wait for others at that: one that was stopped takes connections and does not answer.
func (n *Node) followAt(addr string) error {
	now := n.sec.Status()
	switch {
	case addr == "", now.Address == addr && (now.Connected || now.State == secondary.StateConnecting):
		return nil
	case now.SeedFrom: // the primary is looked for after the seed
		return nil
	}
	err := n.keep.Update(func(id *state.State) error {
		id.FollowFirst([]string{addr})
		return nil
	})
	if err != nil {
		return err
	}
	n.stopFollowing()
	n.leader = addr
	n.follow()
	return nil
}

// clearEvery is how often it is looked whether transactions that are held need be no longer.
const clearEvery = 10 * time.Millisecond

// awaitCommitted is zeo.StorageOptions.AwaitCommitted: enough secondaries have everything, and then, for it is looked
// at last, the coordinator lets this node lead.
func (n *Node) awaitCommitted(ctx context.Context, tid zodb.Tid) error {
	if err := n.sync.AwaitCommitted(ctx, tid); err != nil || n.failover == nil {
		return err
	}
	return n.failover.awaitLease(ctx)
}

// TakePart begins to take part in the failover of the cluster, and returns what ends that.
func (n *Node) TakePart() (leave func()) {
	if n.failover == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan struct{})
	go func() {
		defer close(left)
		n.failover.run(ctx)
	}()
	return func() {
		cancel()
		<-left
	}
}

// awaitLease returns when clients may see the transactions that are here: under a lease of this node, or when it
// follows a primary that has them. The lease is checked last.
func (f *failoverNode) awaitLease(ctx context.Context) error {
	if f.mayTell() {
		return nil
	}
	waits := f.node.opt.Watch.Entry("a commit")
	waits.WaitsForOthers("this node's lease: the coordinator must grant it")
	defer waits.Remove()
	tick := time.NewTicker(clearEvery)
	defer tick.Stop()
	for !f.mayTell() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (f *failoverNode) mayTell() bool {
	if f.node.IsPrimary() {
		f.mu.Lock()
		loop := f.loop
		f.mu.Unlock()
		return loop != nil && loop.Expiry().Valid()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.proven = f.proven || f.node.sec.Status().Connected
	return f.proven
}

// HasLease reports whether commits may be acknowledged as far as the coordinator is concerned; without one they may.
func (n *Node) HasLease() bool { return n.failover == nil || n.failover.mayTell() }

// Coordinator says how the node stands with its coordinator; nil: it has none. The address is for others to fill in.
func (n *Node) Coordinator() *admin.Coordinator { return n.failover.show() }

func (f *failoverNode) show() *admin.Coordinator {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	loop, failed := f.loop, f.failed
	f.mu.Unlock()
	out := &admin.Coordinator{Members: []string{}}
	if loop == nil {
		out.LastError = admin.NonZero(failed)
		out.Doing = admin.Known("does not take part yet: a new copy waits until it has followed a primary")
		return out
	}
	now := loop.Status()
	out.LeaseRemaining = now.Remaining.Seconds()
	out.Doing, out.LastError = admin.NonZero(now.Doing), admin.NonZero(now.LastError)
	if now.LastError != "" {
		out.LastErrorAt = admin.Known(now.ErrorTime.UTC())
	}
	if !now.Known {
		return out
	}
	out.Epoch, out.Maintenance = admin.Known(now.View.Record.Number), now.View.Maintenance.On
	if now.View.Holder != nil {
		out.Leader = admin.NonZero(now.View.Holder.Name)
	}
	for _, m := range now.View.Members {
		out.Members = append(out.Members, m.Name)
	}
	return out
}
