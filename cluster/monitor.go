package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// epochMonitorInterval is how often a primary asks the others whether one of them has taken its place, or thinks that
// it is primary still. Secondaries meet both by themselves only when they look for a primary.
const epochMonitorInterval = 2 * time.Second

// firstSeek is how soon a node that has no identity asks the others whether they have one; the pauses grow.
const firstSeek = 20 * time.Millisecond

// yieldToHigherEpoch asks the others before this node begins as primary, and makes it a secondary, or at least keeps it
// from taking transactions, when one of them has heard of a higher epoch. Whoever does not answer is not waited for
// long.
func (n *Node) yieldToHigherEpoch(ctx context.Context) error {
	if n.role() != state.RolePrimary {
		return nil
	}
	id := n.keep.State()
	if !n.Fenced() {
		answers := n.askStatus(ctx, n.others())
		top := latest(id, answers)
		if top == id.Latest() {
			return n.conclude(n.judgeOthers(id, answers))
		}
		if err := n.keep.Update(
			func(id *state.State) error { id.ObserveBegun(top); return nil },
		); err != nil {
			return err
		}
	}
	id = n.keep.State()
	n.opt.Logger.Info("another node became primary while this node was down", "epoch", id.Epoch().Number, "other_epoch",
		id.MaxEpochSeen)
	if len(n.addresses()) == 0 {
		return nil
	}
	return n.keep.Update(func(id *state.State) error {
		id.BecomeSecondary()
		return nil
	})
}

// epochMonitor asks the others how things stand, as long as this node leads, or wants to, until ctx ends.
func (n *Node) epochMonitor(ctx context.Context) {
	l := &epochMonitor{Node: n}
	for wait := firstSeek; ; wait = min(2*wait, epochMonitorInterval) {
		if !n.asksIdentity.Load() {
			wait = epochMonitorInterval
		}
		next := time.NewTimer(wait)
		select {
		case <-next.C:
		case <-n.begun: // so that the others hear where the primary is
			next.Stop()
		case <-ctx.Done():
			next.Stop()
			return
		}
		l.check(ctx)
	}
}

// An epochMonitor is what the epoch monitor remembers from one look to the next.
type epochMonitor struct {
	*Node
	unbegun int    // how often in a row an epoch above ours had votes
	said    string // what came of that
}

func (l *epochMonitor) check(ctx context.Context) {
	id := l.keep.State()
	switch {
	case l.asksIdentity.Load():
		if err := l.askForIdentity(ctx); err != nil && ctx.Err() == nil {
			l.opt.Logger.Error("cannot give the storage an identity", "error", err, "warning", warning.FilesWrong)
		}
		return
	case id == nil || !l.IsPrimary() || l.Fenced() && l.unwrittenEpoch() == 0: // what is not written is tried again
		l.unbegun, l.said = 0, ""
		return
	}
	answers := l.askStatus(ctx, l.others())
	if v := l.judgeOthers(id, answers); v.rival != id.Rival || v.conflict != l.conflictFound.Load() {
		l.events.note(func(e *pendingEvents) { e.others = &v })
	}
	l.heardFrom(answers)
	switch {
	case latest(id, answers) > id.Latest():
		l.Outranked(latest(id, answers))
	case highest(id, answers) == id.Highest():
		l.unbegun, l.said = 0, ""
	default:
		if l.unbegun++; l.unbegun == higherEpochAfter {
			l.unbegun, l.said = 0, l.tryHigherEpoch(ctx, l.said)
		}
	}
}

// events are what connections have noticed and the node has still to act upon. They may be used concurrently.
type events struct {
	news chan struct{} // one slot

	mu      *sync.Mutex
	noticed *pendingEvents
}

// pendingEvents are what there is to act upon.
type pendingEvents struct {
	higher    uint64    // an epoch above our own that has begun, 0: none
	successor *handover // a primary has stepped down for this node
	leader    string    // where a primary says that it is; empty: none does
	others    *verdict  // what other primaries have answered; nil: nothing new

	later      zodb.Tid // the last transaction of another node, which is later than ours
	clientLeft bool     // as one does whose cache is ahead
}

func newEvents() events { return events{make(chan struct{}, 1), new(sync.Mutex), new(pendingEvents)} }

// note adds something and wakes who acts.
func (e *events) note(add func(*pendingEvents)) {
	e.mu.Lock()
	add(e.noticed)
	e.mu.Unlock()
	select {
	case e.news <- struct{}{}:
	default:
	}
}

// take returns all, and forgets it.
func (e *events) take() pendingEvents {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := *e.noticed
	*e.noticed = pendingEvents{}
	return all
}

// Outranked is primary.Member. The number is plausible.
func (n *Node) Outranked(epoch uint64) {
	n.events.note(func(e *pendingEvents) { e.higher = max(e.higher, epoch) })
}

// handleEvents does what has been noticed.
func (n *Node) handleEvents(ctx context.Context) {
	all := n.events.take()
	select {
	case n.changing <- struct{}{}:
		defer func() { <-n.changing }()
	case <-ctx.Done():
		return
	}
	if all.successor != nil {
		if err := n.succeed(all.successor); err != nil {
			n.opt.Logger.Error("the primary handed over to this node, but it cannot become primary", "error", err,
				"warning", warning.ChangeFailed)
		}
	}
	if all.others != nil && n.IsPrimary() && !n.Fenced() {
		if err := n.conclude(*all.others); err != nil {
			n.opt.Logger.Error("another node is primary, and the state file cannot be written", "error", err,
				"warning", warning.FilesWrong)
		}
	}
	if id := n.keep.State(); id != nil && all.higher > id.Latest() {
		if err := n.fence(ctx, all.higher, true, ""); err != nil {
			n.opt.Logger.Error("another node is now primary, and the state file cannot be written", "error", err,
				"warning", warning.FilesWrong)
		}
	}
	if all.later > 0 || all.clientLeft {
		n.surpass(ctx, all.later, all.clientLeft)
	}
	if all.leader != "" && n.needsLeader(all.leader) {
		if err := n.followAt(all.leader); err != nil {
			n.opt.Logger.Error("cannot save the primary's address to the state file", "primary", all.leader,
				"error", err, "warning", warning.FilesWrong)
		}
	}
}

// needsLeader reports whether this node is a secondary that has found no primary, and is not about to try that address.
// What was refused there is not tried again before its time.
func (n *Node) needsLeader(leader string) bool {
	now := n.sec.Status()
	switch {
	case n.IsPrimary(), now.SeedFrom, now.Seed != nil: // who is seeded connects anew by itself
		return false
	case now.Connected:
		return n.leavesSecondary(now)
	case now.State == secondary.StateRefused || now.State == secondary.StateFailed:
		return n.leader != leader
	}
	return now.State == secondary.StateWaiting || now.Address != leader
}

// leaveSecondaryPause is how long a node that left another secondary for the primary, and follows a secondary again,
// stays there before it tries once more: perhaps it cannot reach the primary, although the primary can reach it.
const leaveSecondaryPause = time.Minute

// leavesSecondary reports whether a connected node follows another secondary although it has several addresses: it took
// what answered when the primary did not. The primary does not count such a node as one of its secondaries, so that
// commits do not wait for it, or in vain, and no switchover to it is possible.
func (n *Node) leavesSecondary(now secondary.Status) bool {
	if len(n.opt.ReplicateFrom) < 2 || len(now.UpstreamPath) < 2 || time.Since(n.leftSecondary) < leaveSecondaryPause {
		return false
	}
	n.leftSecondary = time.Now()
	n.opt.Logger.Info("the primary can be reached again: this node leaves the secondary that it follows",
		"follows", now.Address)
	return true
}
