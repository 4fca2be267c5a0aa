package node

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// A coordinated replica leads by the word of a coordinator: it is a coordinator.Node. It tells clients of nothing that
// another node could lead without.
type failoverNode struct {
	r       *replica
	timing  lease.Timing
	open    func(storageID string) (lease.Coordinator, error)
	changed chan struct{} // 1 slot: the role is another

	mu     sync.Mutex
	loop   *lease.Loop // nil: it has not begun
	failed string      // why it will not
	proven bool        // as a secondary: all that is here is history of a primary
	handed time.Time   // when it was seen that the heir of a handover does not lead yet; zero: it does
}

// newCoordinated returns what takes part in the failover of a cluster; nil when there is no coordinator.
func (r *replica) newFailoverNode() (*failoverNode, error) {
	cfg := r.c.Coordinator
	if cfg == nil {
		return nil, nil //nolint:nilnil // roles are changed by hand
	}
	timing, err := cfg.timing()
	if err != nil {
		return nil, &ConfigError{err.Error()}
	}
	open, err := cfg.opener(r.c.read.coordinator)
	if err != nil {
		return nil, err
	}
	return &failoverNode{r: r, timing: timing, open: open, changed: make(chan struct{}, 1)}, nil
}

// identityEvery is how often a new copy looks whether it has its identity.
const identityEvery = time.Second

// run takes part until ctx ends, then gives the leader lease back.
func (f *failoverNode) run(ctx context.Context) {
	for f.r.keep.State() == nil {
		if pause.For(ctx, identityEvery); ctx.Err() != nil {
			return
		}
	}
	ref, err := f.open(f.r.keep.State().StorageID)
	if err != nil {
		f.r.c.Logger.Error("cannot use the coordinator: this node does not become primary", "error", err)
		f.mu.Lock()
		f.failed = err.Error()
		f.mu.Unlock()
		return
	}
	loop := lease.New(ref, f, lease.Options{
		Timing: f.timing, MaxLag: f.r.cfg.ReadyLag, Changed: f.changed, Logger: f.r.c.Logger.Named("coordinator"),
	})
	f.mu.Lock()
	f.loop = loop
	f.mu.Unlock()
	loop.Run(ctx)
	if err := ref.Close(); err != nil {
		f.r.c.Logger.Warn("leaving the coordinator failed", "error", err)
	}
}

// roleChanged is called when the node has begun or ceased to lead, before clients can do anything in the new role.
func (f *failoverNode) roleChanged() {
	if f == nil {
		return
	}
	f.mu.Lock()
	if f.r.isLeading() {
		f.proven = false
	}
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Status is coordinator.Node.
func (f *failoverNode) Status() lease.MemberStatus {
	id, r := f.r.keep.State(), f.r
	s := lease.MemberStatus{
		Node:         id.Node,
		Name:         r.c.name(),
		Epoch:        id.Epoch().Number,
		MaxEpochSeen: id.Highest(),
		Tid:          r.st.LastTid(),
		IsPrimary: r.isLeading() && !r.fenced() ||
			f.handing(id),
		ReplicationAddr: r.replicationAddr,
		AdminAddr:       r.c.Admin.String(),
	}
	s.Fault, s.NeedsOthers, s.NeedsTid = r.faultReason(), r.needed(), r.told()
	s.DiskFull, s.DiskHasRoom = r.full(), r.st.Roomy()
	if s.Reason = r.ineligibleReason(); s.Reason == "" {
		s.Reason = s.Fault
	}
	s.Eligible = s.Reason == ""
	return s
}

// ineligibleReason says why the node could not be primary; empty: it could.
func (r *replica) ineligibleReason() string {
	following := r.sec.Status()
	switch {
	case r.replicationAddr == "":
		return "no secondary can connect to it: start it with --replicate-to"
	case r.blobs.shared != nil:
		return "it has no blob directory of its own"
	case following.State == secondary.StateRefused || following.State == secondary.StateFailed:
		return "it is not a usable copy now: " + following.LastError
	}
	return ""
}

// handing reports whether this node has stepped down for an heir that is not known to lead yet. It then keeps the
// lease for it: if it were vacant, others could take it. The heir has a TTL for that.
func (f *failoverNode) handing(id *state.State) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id.Was != "" || id.Successor == "" || id.MaxEpochSeen <= id.Epoch().Number {
		f.handed = time.Time{}
		return false
	}
	if f.handed.IsZero() {
		f.handed = time.Now()
	}
	return time.Since(f.handed) < f.timing.TTL
}

// Lead is coordinator.Node.
func (f *failoverNode) Lead(ctx context.Context, number uint64) error {
	return f.r.changeInTurn(ctx, func(ctx context.Context) error {
		return f.r.elect(ctx, number, func(s admin.Step) { f.r.c.Logger.Info("election: " + s.Text) })
	})
}

// Follow is coordinator.Node.
func (f *failoverNode) Follow(ctx context.Context, number uint64, leader lease.MemberStatus) error {
	return f.r.changeInTurn(ctx, func(ctx context.Context) error {
		if f.r.isLeading() {
			defer f.r.applyAccess()
			return f.r.fence(ctx, number, false, leader.ReplicationAddr)
		}
		return f.r.turnTo(leader.ReplicationAddr)
	})
}

// turnTo makes a secondary follow the node at an address. It does not wait for others at that: one that was stopped
// takes connections and does not answer.
func (r *replica) turnTo(addr string) error {
	if now := r.sec.Status(); addr == "" || now.Connected && now.Address == addr {
		return nil
	}
	err := r.keep.Update(func(id *state.State) error {
		id.FollowFirst([]string{addr})
		return nil
	})
	if err != nil {
		return err
	}
	r.stopFollowing()
	r.leader = addr
	r.follow()
	return nil
}

// clearEvery is how often it is looked whether transactions that are held need be no longer.
const clearEvery = 10 * time.Millisecond

// cleared is zeo.StorageOptions.Cleared: enough secondaries have everything, and then, for it is looked at last, the
// coordinator lets this node lead.
func (r *replica) cleared(ctx context.Context, tid zodb.Tid) error {
	if err := r.sync.Cleared(ctx, tid); err != nil || r.failover == nil {
		return err
	}
	return r.failover.cleared(ctx)
}

// takePart begins to take part in the failover of the cluster, and returns what ends that.
func (r *replica) takePart() (leave func()) {
	if r.failover == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan struct{})
	go func() {
		defer close(left)
		r.failover.run(ctx)
	}()
	return func() {
		cancel()
		<-left
	}
}

// cleared returns when clients may be told of what is here: in a lease of this node, or when it follows a
// primary that has it. That it is in a lease is looked at last.
func (f *failoverNode) cleared(ctx context.Context) error {
	if f.clear() {
		return nil
	}
	waits := f.r.c.board.Place("a commit")
	waits.Waits("this node's lease: the coordinator must grant it")
	defer waits.Remove()
	tick := time.NewTicker(clearEvery)
	defer tick.Stop()
	for !f.clear() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (f *failoverNode) clear() bool {
	if f.r.isLeading() {
		f.mu.Lock()
		loop := f.loop
		f.mu.Unlock()
		return loop != nil && loop.Expiry().Valid()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.proven = f.proven || f.r.sec.Status().Connected
	return f.proven
}

// show says how the node stands with its coordinator; nil: it has none.
func (f *failoverNode) show() *admin.Coordinator {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	loop, failed := f.loop, f.failed
	f.mu.Unlock()
	out := &admin.Coordinator{Address: f.r.c.Coordinator.Address, Members: []string{}}
	if loop == nil {
		out.LastError = known(failed)
		out.Doing = admin.Known("does not take part yet: a new copy waits until it has followed a primary")
		return out
	}
	now := loop.Status()
	out.LeaseRemaining, out.Doing, out.LastError = now.Remaining.Seconds(), known(now.Doing), known(now.LastError)
	if !now.Known {
		return out
	}
	out.Epoch, out.Maintenance = admin.Known(now.View.Record.Number), now.View.Maintenance.On
	if now.View.Holder != nil {
		out.Leader = known(now.View.Holder.Name)
	}
	for _, m := range now.View.Members {
		out.Members = append(out.Members, m.Name)
	}
	return out
}
