package secondary

import (
	"errors"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
)

// What is wrong with a node that answers at one of several addresses, although it would accept this secondary. Another
// address, or the same one later, may do better.
var (
	errSelf   = errors.New("this address is this node itself: its own address is in its list")
	errCircle = errors.New("the node at this address replicates from this node: the primary is elsewhere")
)

// A staleError says that a node is behind in the history of primaries.
type staleError struct {
	name        string
	theirs, own uint64
}

func (e *staleError) Error() string {
	return fmt.Sprintf("%s is in epoch %d, and this node has seen epoch %d: another node is primary; it is "+
		"searched at all addresses", e.name, e.theirs, e.own)
}

// A notLeadingError says that a node is a secondary itself.
type notLeadingError struct{ name string }

func (e *notLeadingError) Error() string {
	return e.name + " is a secondary itself; the primary is searched at the other addresses"
}

// comparePrimary decides whether to follow the node that has answered. A node of a lower epoch than the highest known
// one is not followed, whatever it answers: it does not know yet that it is no longer primary. Among several addresses
// the primary is followed; another secondary only if a whole round has found none, and then one that is itself
// connected to a primary.
func (s *Secondary) comparePrimary(w *protocol.Welcome) error {
	id := s.keep.State()
	switch {
	case id == nil || w.StorageID != id.StorageID: // see identify
	case state.Believe(w.Highest(), id.Highest()) != nil:
		return unfit("%s: %v", clean(w.Name), state.Believe(w.Highest(), id.Highest()))
	case w.Highest() < id.Highest():
		return &staleError{clean(w.Name), w.Highest(), id.Highest()}
	case w.Node != "" && w.Node == id.Node:
		return errSelf
	case slices.Contains(w.UpstreamPath, id.Node):
		return errCircle
	}
	if w.Node == "" || w.IsPrimary || s.seedOnly || s.opt.Once || len(s.opt.Addresses) == 1 {
		return nil
	}
	if s.primaryOnly || len(w.UpstreamPath) == 0 {
		return &notLeadingError{clean(w.Name)}
	}
	return nil
}

// choose decides, after an address was tried and perhaps the last one of a round, whether only the primary will do in
// the next round.
func (s *Secondary) choose(err error, progress, round bool) {
	var other *notLeadingError
	s.metSecondary = s.metSecondary || errors.As(err, &other)
	switch {
	case progress:
		s.primaryOnly, s.metSecondary = true, false
	case round:
		s.primaryOnly, s.metSecondary = !s.metSecondary, false
	}
}

// expected reports whether an error only says that the primary is at another address.
func expected(err error) bool {
	var other *notLeadingError
	var stale *staleError
	return errors.Is(err, errSelf) || errors.As(err, &other) || errors.As(err, &stale)
}

// A Successor is asked when the primary wants to hand over to this secondary. Its methods are called from a
// connection, and must not wait for that to end.
type Successor interface {
	// CheckHandover returns why the node could not begin an epoch now; nil when it could.
	CheckHandover(p *protocol.HandoverCheck) error
	// TakeOver is called when the primary has stepped down in favour of this node.
	TakeOver(t *protocol.TakeOver)
}

// answerHandoverCheck answers a primary that wants to hand over.
func (s *Secondary) answerHandoverCheck(l *link, p *protocol.HandoverCheck) error {
	answer := &protocol.HandoverReady{Epoch: p.Epoch}
	if err := s.canTakeOver(p); err != nil {
		answer.Error = err.Error()
	}
	return l.control.Send(answer)
}

func (s *Secondary) canTakeOver(p *protocol.HandoverCheck) error {
	if s.opt.Successor == nil {
		return errors.New("this secondary has no address for secondaries of its own: start it with --replicate-to")
	}
	if last := s.st.LastTid(); last != p.Last {
		return fmt.Errorf("the last transaction of this secondary is %v, the primary's is %v", last, p.Last)
	}
	return s.opt.Successor.CheckHandover(p)
}
