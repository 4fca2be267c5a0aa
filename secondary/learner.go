package secondary

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A copy that was begun anew, or from older files, is a learner: what a node at its place has acknowledged before, it
// may not have, so its vote must not count. It has that when it has caught up with what a primary had when they
// connected, for the primary has all that was acknowledged.

// teaches reports whether a copy that has everything of the node that has answered has all that was acknowledged. Where
// commits wait for secondaries, only the primary itself is sure to have it.
func (s *Secondary) teaches(w *protocol.Welcome) bool {
	return w.IsPrimary || w.Node == "" || s.opt.LearnsFromAny && len(w.UpstreamPath) > 0
}

// hasAll reports whether nothing is missing here that a node at the place of this one may have acknowledged.
func (s *Secondary) hasAll(w *protocol.Welcome) bool {
	return s.teaches(w) && s.st.LastTid() >= w.LastTid
}

// learned ends the time as a learner when the transaction that is durable here last is the one up to which there was
// something to learn. It is called before that is acknowledged.
func (s *Secondary) learned(l *link, durable zodb.Tid) error {
	if id := s.keep.State(); !l.teaches || id == nil || !id.Learner || durable < l.goal {
		return nil
	}
	err := s.keep.Update(func(id *state.State) error { id.Learner = false; return nil })
	if err != nil {
		return &localError{fmt.Errorf("saving that this copy has caught up: %w", err)}
	}
	l.log.Info("this copy has caught up with its primary: its vote counts from here on", "last", durable)
	return nil
}
