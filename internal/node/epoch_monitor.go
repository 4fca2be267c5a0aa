package node

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/internal/state"
)

// epochMonitorInterval is how often a primary asks the others whether one of them has taken its place, or thinks that
// it is primary still. Secondaries meet both by themselves only when they look for a primary.
const epochMonitorInterval = 2 * time.Second

// firstSeek is how soon a node that has no identity asks the others whether they have one; the pauses grow.
const firstSeek = 20 * time.Millisecond

// yieldToHigherEpoch asks the others before this node begins as primary, and makes it a secondary, or at least keeps it
// from taking transactions, when one of them has heard of a higher epoch. Whoever does not answer is not waited for
// long.
func (r *replica) yieldToHigherEpoch(ctx context.Context) error {
	id := r.keep.State()
	if r.role() != state.RolePrimary || id == nil {
		return nil
	}
	if !r.fenced() {
		answers := r.ask(ctx, 0, r.others())
		top := latest(id, answers)
		if top == id.Latest() {
			return r.conclude(r.judgeOthers(id, answers))
		}
		if err := r.keep.Update(
			func(id *state.State) error { id.ObserveBegun(top); return nil },
		); err != nil {
			return err
		}
	}
	id = r.keep.State()
	r.c.Logger.Warn("another node became primary while this node was down", "epoch", id.Epoch().Number, "other_epoch",
		id.MaxEpochSeen)
	if len(r.addresses()) == 0 {
		return nil
	}
	return r.keep.Update(func(id *state.State) error {
		id.BecomeSecondary()
		return nil
	})
}

// epochMonitor asks the others how things stand, as long as this node leads, or wants to, until ctx ends.
func (r *replica) epochMonitor(ctx context.Context) {
	l := &epochMonitor{replica: r}
	for wait := firstSeek; ; wait = min(2*wait, epochMonitorInterval) {
		if !r.asksIdentity.Load() {
			wait = epochMonitorInterval
		}
		next := time.NewTimer(wait)
		select {
		case <-next.C:
		case <-r.begun: // so that the others hear where the primary is
			next.Stop()
		case <-ctx.Done():
			next.Stop()
			return
		}
		l.look(ctx)
	}
}

// An epochMonitor is what a lookout remembers from one look to the next.
type epochMonitor struct {
	*replica
	passed int    // how often in a row an epoch above ours was promised to somebody
	said   string // what came of that
}

func (l *epochMonitor) look(ctx context.Context) {
	id := l.keep.State()
	switch {
	case l.asksIdentity.Load():
		if err := l.seek(ctx); err != nil && ctx.Err() == nil {
			l.c.Logger.Error("cannot give the storage an identity", "error", err)
		}
		return
	case id == nil || !l.isLeading() || l.fenced() && l.unwrittenEpoch() == 0: // what is not written is tried again
		l.passed, l.said = 0, ""
		return
	}
	answers := l.ask(ctx, 0, l.others())
	if v := l.judgeOthers(id, answers); v.rival != id.Rival || v.met != l.met.Load() {
		l.events.note(func(n *pendingEvents) { n.others = &v })
	}
	l.heardFrom(answers)
	switch {
	case latest(id, answers) > id.Latest():
		l.Outranked(latest(id, answers))
	case highest(id, answers) == id.Highest():
		l.passed, l.said = 0, ""
	default:
		if l.passed++; l.passed == goOnAfter {
			l.passed, l.said = 0, l.tryGoOn(ctx, l.said)
		}
	}
}
