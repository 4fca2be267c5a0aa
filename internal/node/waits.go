package node

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/primary"
)

// A primary whose commits wait for secondaries keeps in its state file of what clients were told only when enough of
// them had it: identity.Waits. When another node took its place, that says whether what it has alone was told to
// anybody. Each change of it is durable before a client is told anything by the new rule.

// waiting reports whether commits wait for secondaries while this node leads.
func (r *replica) waiting() bool { return r.c.Sync.Required > 0 && r.replicationAddr != "" }

// settleWaits brings that in line with how this node was started. Secondaries and clients come later.
func (r *replica) settleWaits() error {
	id := r.keep.State()
	if id == nil {
		return nil
	}
	now := id.Waits
	switch {
	case !r.waiting():
		now = nil
	case r.isLeading():
		now = r.waitsNow(id)
	}
	return r.setWaits(now)
}

// waitsNow is what a primary notes that begins a session, in which commits wait. What was there before it may have been
// told without that, unless it is noted already.
func (r *replica) waitsNow(id *state.State) *state.Waits {
	w := id.Waits
	switch {
	case w == nil:
		return r.waitsFrom(id)
	case w.Paused:
		w = w.From(r.st.LastTid())
	}
	if r.c.Sync.Required < w.Required {
		lower := *w
		lower.Required = r.c.Sync.Required
		w = &lower
	}
	return w
}

// waitsFrom is what a primary notes whose commits wait from behind the last transaction on; nil: they do not.
func (r *replica) waitsFrom(id *state.State) *state.Waits {
	if !r.waiting() {
		return nil
	}
	return &state.Waits{Epoch: id.Epoch().Number, Behind: r.st.LastTid(), Required: r.c.Sync.Required}
}

// setWaits writes it down, if it is news.
func (r *replica) setWaits(w *state.Waits) error {
	if r.keep.State().Waits == w {
		return nil
	}
	if err := r.keep.Update(func(id *state.State) error { id.Waits = w; return nil }); err != nil {
		return fmt.Errorf("saving what commits wait for: %w", err)
	}
	return nil
}

// changeWaits replaces what is noted, if anything is.
func (r *replica) changeWaits(change func(*state.Waits) *state.Waits) error {
	if id := r.keep.State(); id == nil || id.Waits == nil || change(id.Waits) == id.Waits {
		return nil
	}
	return r.keep.Update(func(id *state.State) error {
		id.Waits = change(id.Waits)
		return nil
	})
}

// Counts is primary.Member. A node that comes back with less than it had acknowledged, and one that takes the place of
// another, may be without something that clients were told.
func (r *replica) Counts(c primary.Counting) error {
	if !r.isLeading() {
		return nil
	}
	return r.changeWaits(func(w *state.Waits) *state.Waits {
		w = w.Counts(c.Node)
		if c.Less || c.Replaces != "" {
			w = w.Without(c.Replaces, r.st.LastTid())
		}
		return w
	})
}

// letGo is called before clients are told of what no secondary has.
func (r *replica) letGo() error {
	return r.changeWaits(func(w *state.Waits) *state.Waits {
		if w == nil || w.Paused {
			return w
		}
		return w.Pause()
	})
}

// waitsAgain is called when nothing is told any more that enough secondaries do not have.
func (r *replica) waitsAgain() error {
	return r.changeWaits(func(w *state.Waits) *state.Waits { return w.From(r.st.LastTid()) })
}

// forgetWaits is what a node does that serves clients without replicating: they are told of everything at once. A state
// file that is a copy's is left as it is: what commits waited for is dropped when it is used.
func (c *Config) forgetWaits() error {
	s, err := state.Load(c.FS, c.Data)
	if err != nil || s.Copied || s.Waits == nil {
		return nil //nolint:nilerr // without a state that can be read no node takes part
	}
	s.Waits = nil
	if err := s.Save(); err != nil {
		return &StartError{err}
	}
	return nil
}
