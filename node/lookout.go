package node

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/identity"
)

// lookoutEvery is how often a primary asks the others whether one of them has taken its place, or thinks that it is
// primary still. Secondaries meet both by themselves only when they look for a primary.
const lookoutEvery = 2 * time.Second

// yield asks the others before this node begins as primary, and makes it a secondary, or at least keeps it from taking
// transactions, when one of them has heard of a higher epoch. Whoever does not answer is not waited for long.
func (r *replica) yield(ctx context.Context) error {
	id := r.keep.State()
	if r.role() != identity.RolePrimary || id == nil {
		return nil
	}
	if !r.fenced() {
		top := latest(id, r.ask(ctx, 0, r.others()))
		if top == id.Latest() {
			return nil
		}
		if err := r.keep.Update(func(id *identity.State) error { raise(id, top); id.Begun = top; return nil }); err != nil {
			return err
		}
	}
	id = r.keep.State()
	r.c.Logger.Warn("another node has become primary while this one was away", "epoch", id.Epoch().Number, "theirs",
		id.Promised)
	if len(r.addresses()) == 0 {
		return nil
	}
	return r.keep.Update(func(id *identity.State) error {
		id.Role, id.Frozen = identity.RoleSecondary, false
		return nil
	})
}

// lookout asks the others how things stand, as long as this node leads, until ctx ends.
func (r *replica) lookout(ctx context.Context) {
	tick := time.NewTicker(lookoutEvery)
	defer tick.Stop()
	passed, said := 0, "" // how often in a row an epoch above ours was promised to somebody, and what came of that
	for {
		select {
		case <-tick.C:
		case <-r.reigns: // so that the others hear where the primary is
		case <-ctx.Done():
			return
		}
		id := r.keep.State()
		if id == nil || !r.isLeading() || r.fenced() && r.unwrittenEpoch() == 0 { // what is not written is tried again
			passed, said = 0, ""
			continue
		}
		answers := r.ask(ctx, 0, r.others())
		switch {
		case latest(id, answers) > id.Latest():
			r.Outranked(latest(id, answers))
		case highest(id, answers) == id.Highest():
			passed, said = 0, ""
		default:
			if passed++; passed == goOnAfter {
				passed, said = 0, r.tryGoOn(ctx, said)
			}
		}
	}
}
