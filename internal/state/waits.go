package state

import (
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Waits is the part of the history of a primary of which its clients were told only what enough secondaries had: what
// comes after a transaction, in epochs of this node. It is durable before clients are told by this rule, and removed
// before clients are told of more. One that is in a State is never changed, but replaced.
type Waits struct {
	Epoch    uint64   `json:"epoch"`            // of this node, in which it begins
	After    zodb.Tid `json:"behind"`           // nothing is said of this transaction and those before it
	Required int      `json:"required"`         // how many secondaries had what was told, at least
	Nodes    []string `json:"nodes"`            // the ids of all that were counted since then
	Paused   bool     `json:"paused,omitempty"` // at present commits are acknowledged that no secondary has
}

// maxCounted is how many secondaries a Waits names.
const maxCounted = 64

func (w *Waits) check() error {
	switch {
	case w == nil:
		return nil
	case w.Epoch == 0 || w.Required < 1:
		return fmt.Errorf("commits waited for %d secondaries since epoch %d", w.Required, w.Epoch)
	case len(w.Nodes) > maxCounted || slices.ContainsFunc(w.Nodes, isNoUUID):
		return fmt.Errorf("commits waited for %d secondaries, at most %d can be named, each by a UUID", len(w.Nodes),
			maxCounted)
	}
	return nil
}

// Counts adds a node that counts from now on. Where there are too many, nothing is known any more: nil.
func (w *Waits) Counts(node string) *Waits {
	switch {
	case w == nil || slices.Contains(w.Nodes, node):
		return w
	case len(w.Nodes) == maxCounted || isNoUUID(node):
		return nil
	}
	now := *w
	now.Nodes = append(slices.Clone(w.Nodes), node)
	return &now
}

// Without says that a node, if any, counts no more, and that nothing is known of a transaction and those before it.
func (w *Waits) Without(node string, tid zodb.Tid) *Waits {
	if w == nil {
		return nil
	}
	now := *w
	now.After = max(w.After, tid)
	now.Nodes = slices.DeleteFunc(slices.Clone(w.Nodes), func(counted string) bool { return counted == node })
	return &now
}

// From says that commits wait again, and that nothing is known of a transaction and those before it.
func (w *Waits) From(tid zodb.Tid) *Waits {
	if w == nil {
		return nil
	}
	now := *w
	now.After, now.Paused = max(w.After, tid), false
	return &now
}

// Pause says that commits may be acknowledged that no secondary has.
func (w *Waits) Pause() *Waits {
	if w == nil || w.Paused {
		return w
	}
	now := *w
	now.Paused = true
	return &now
}

// MayBeTold returns why it is not certain that no client of this node was told of anything after last, where a primary
// with these epochs has everything up to last and nothing more; empty: nobody was told. What was told is on Required of
// the nodes that counted.
// Each of those that voted for the epoch after the last common one had that epoch as its last one, and nothing that
// the primary had not; so if fewer than Required of the nodes that counted are not among them, the primary has
// everything that was told. Where fewer counted at all, nothing was told.
func (s *State) MayBeTold(last zodb.Tid, theirs []protocol.Epoch) (why string) {
	w := s.Waits
	switch {
	case w == nil:
		return "commits did not wait for secondaries"
	case w.Paused:
		return "commits did not wait for secondaries at the end"
	case s.Was != "":
		return "this node is a copy of another one"
	case s.Epoch().Node != s.Node:
		return "the last epoch that this node knows is not its own"
	case last < w.After:
		return fmt.Sprintf(
			"the last common transaction is %v, and what clients were told is known only from after %v",
			last,
			w.After,
		)
	case len(w.Nodes) < w.Required:
		return ""
	}
	same := 0
	for same < len(theirs) && same < len(s.Epochs) && theirs[same].Same(s.Epochs[same]) {
		same++
	}
	switch {
	case same == 0 || same == len(theirs):
		return "this node and the primary have no epoch in common, or the primary has none after it"
	case s.Epochs[same-1].Number < w.Epoch || last < s.Epochs[same-1].Begin:
		return fmt.Sprintf("the last common epoch is %d, and what clients were told is known only from epoch %d on",
			s.Epochs[same-1].Number, w.Epoch)
	}
	voters := theirs[same].Voters
	absent := slices.DeleteFunc(slices.Clone(w.Nodes), func(node string) bool { return slices.Contains(voters, node) })
	if len(absent) < w.Required {
		return ""
	}
	return fmt.Sprintf(
		"commits waited for %d of %v, and %v have not voted for epoch %d, or had seen more than node %s then",
		w.Required,
		w.Nodes,
		absent,
		theirs[same].Number,
		theirs[same].Node,
	)
}
