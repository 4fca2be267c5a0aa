package node

import (
	"context"
	"sync"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// events are what connections have noticed and the node has still to act upon. They may be used concurrently.
type events struct {
	news chan struct{} // one slot

	mu      *sync.Mutex
	noticed *pendingEvents
}

// events is what there is to act upon.
type pendingEvents struct {
	higher    uint64     // an epoch above our own that has begun, 0: none
	successor *successor // a primary has stepped down for this node
	leader    string     // where a primary says that it is; empty: none does
	others    *verdict   // what other primaries have answered; nil: nothing new

	later      zodb.Tid // the last transaction of another node, which is later than ours
	clientLeft bool     // as one does whose cache is ahead
}

// A successor is an epoch that this node is to begin behind a transaction.
type successor struct {
	epoch uint64
	last  zodb.Tid
}

func newEvents() events { return events{make(chan struct{}, 1), new(sync.Mutex), new(pendingEvents)} }

// note adds something and wakes who acts.
func (n *events) note(add func(*pendingEvents)) {
	n.mu.Lock()
	add(n.noticed)
	n.mu.Unlock()
	select {
	case n.news <- struct{}{}:
	default:
	}
}

// take returns all, and forgets it.
func (n *events) take() pendingEvents {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := *n.noticed
	*n.noticed = pendingEvents{}
	return all
}

// Outranked is primary.Member. The number is one to be believed.
func (r *replica) Outranked(epoch uint64) {
	r.events.note(func(n *pendingEvents) { n.higher = max(n.higher, epoch) })
}

// HandedOver is primary.Member.
func (r *replica) HandedOver(h *protocol.Hello) {
	r.events.note(func(n *pendingEvents) { n.successor = &successor{h.MaxEpochSeen, h.Last.Tid} })
}

// TakeOver is secondary.Successor.
func (r *replica) TakeOver(t *protocol.TakeOver) {
	r.events.note(func(n *pendingEvents) { n.successor = &successor{t.Epoch, t.Last} })
}

// act does what has been noticed.
func (r *replica) act(ctx context.Context) {
	all := r.events.take()
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
	case <-ctx.Done():
		return
	}
	if all.successor != nil {
		if err := r.succeed(all.successor); err != nil {
			r.c.Logger.Error("the primary handed over to this node, but it cannot become primary", "error", err)
		}
	}
	if all.others != nil && r.isLeading() && !r.fenced() {
		if err := r.conclude(*all.others); err != nil {
			r.c.Logger.Error("another node is primary, and the state file cannot be written", "error", err)
		}
	}
	if id := r.keep.State(); id != nil && all.higher > id.Latest() {
		if err := r.fence(ctx, all.higher, true, ""); err != nil {
			r.c.Logger.Error("another node is now primary, and the state file cannot be written", "error", err)
		}
	}
	if all.later > 0 || all.clientLeft {
		r.surpass(ctx, all.later, all.clientLeft)
	}
	if all.leader != "" && r.seeks(all.leader) {
		if err := r.turnTo(all.leader); err != nil {
			r.c.Logger.Error("cannot save the primary's address to the state file", "primary", all.leader, "error", err)
		}
	}
}

// seeks reports whether this node is a secondary that has found no primary, and is not about to try that address. What
// was refused there is not tried again before its time.
func (r *replica) seeks(leader string) bool {
	now := r.sec.Status()
	switch {
	case r.isLeading() || now.Connected:
		return false
	case now.State == secondary.StateRefused || now.State == secondary.StateFailed:
		return r.leader != leader
	}
	return now.State == secondary.StateWaiting || now.Address != leader
}
