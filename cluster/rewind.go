package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A primary that was replaced may have transactions that no other node received: at least the one with which its epoch
// began. If all of them are without records, or if it is certain that no client was told of them, nothing is lost when
// they are set aside, and the node is rewound without an operator: the rewind is noted in the state file at the end of
// the session, when nothing is written any more, and done when the storage is opened again.

// planTimeout bounds the questions to the primary about one rewind.
const planTimeout = time.Minute

// Why nobody is asked.
const (
	whyEmpty  = "none of these transactions has records"
	whyUntold = "no client was told of these transactions: commits waited for secondaries that did not have them"
)

// A rewindError ends a session so that the storage is rewound.
type rewindError struct {
	plan  *state.Rewind
	noted bool // the next start does it
}

func (e *rewindError) Error() string {
	return fmt.Sprintf("the transactions from %v to %v are set aside: %s", e.plan.First, e.plan.Until, e.plan.Why)
}

// Diverged is called when the node at an address has said that this one has what it never had. It returns a
// *rewindError when that is to be set aside without a person, otherwise nil.
func (n *Node) Diverged(ctx context.Context, addr string) error {
	plan, err := n.planRewind(ctx, addr)
	if err == nil {
		n.opt.Logger.Info("closing the storage, to set aside transactions that the primary never had",
			"refused_by", addr, "from", plan.First, "to", plan.Until)
		return &rewindError{plan: plan}
	}
	var stay *stayError
	if errors.As(err, &stay) && stay.nothingLost && n.opt.ReseedAuto {
		return &ReseedError{Primary: addr, why: stay.why}
	}
	n.stays(ctx, addr, err)
	return nil
}

// A ReseedError ends a session so that the data file is set aside as a whole: no client was told of what this node
// alone has, and it is too much to be rewound.
type ReseedError struct {
	Primary string // the address of the node that has refused this one
	why     string
}

func (e *ReseedError) Error() string {
	return "this node has transactions that its primary never had and no client was told of: " + e.why
}

// stays logs why nothing is set aside, once.
func (n *Node) stays(ctx context.Context, addr string, err error) {
	var stay *stayError
	switch {
	case ctx.Err() != nil:
	case !errors.As(err, &stay):
		n.opt.Logger.Warn("cannot tell whether the transactions that the primary lacks may be set aside: they stay "+
			"here",
			"refused_by", addr, "error", err, "warning", warning.UpstreamRefused)
	default:
		if before := n.stayed.Swap(stay); before != nil && *before == *stay {
			break // said already
		}
		n.opt.Logger.Warn("the transactions that the primary lacks stay here: an operator decides, with zrsd rewind",
			"refused_by", addr, "last_tid", stay.last, "reason", stay.why, "warning", warning.UpstreamRefused)
	}
}

// A stayError is why a person has to decide what becomes of the transactions up to last, which the primary lacks.
type stayError struct {
	why         string
	last        zodb.Tid
	nothingLost bool // it is certain that no client was told of any of them
}

func (e *stayError) Error() string { return e.why }

// planRewind returns how to take out what this node has alone, or a *stayError, or what failed.
func (n *Node) planRewind(ctx context.Context, addr string) (*state.Rewind, error) {
	id, last := n.keep.State(), n.st.LastTid()
	stay := func(why string) error { return &stayError{why: why, last: last} }
	switch {
	case id == nil || id.Was != "" || last == 0:
		return nil, stay("this node has no state of its own")
	case n.opt.SharedBlobs || n.opt.Blobs == "" && rewind.FindBlobs(n.opt.FS, n.opt.Data) != "":
		return nil, stay("the blobs are not in a blob directory of this node")
	case id.Waits == nil:
		switch empty, err := rewind.Empty(ctx, n.st, last-1); {
		case err != nil:
			return nil, err
		case !empty: // most such tails end with data, and the primary need not be asked
			return nil, stay("commits did not wait for secondaries")
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, planTimeout, fmt.Errorf("no answer within %v", planTimeout))
	defer cancel()
	addr = n.LeaderFor(ctx, addr)
	remote := &rewind.Remote{
		Dial:   func(ctx context.Context) (net.Conn, error) { return n.opt.Dial(ctx, addr) },
		Secret: n.opt.Secret, State: id, Magic: n.st.Magic(), Name: "zrsd rewind of " + n.opt.Data,
	}
	plan, err := rewind.Common(ctx, n.st, id, remote)
	if err == nil {
		err = rewind.NeedsBlobs(ctx, n.st, plan.Last)
	}
	var refusal *rewind.Refusal
	switch {
	case errors.As(err, &refusal):
		return nil, stay(err.Error())
	case err != nil:
		return nil, err
	case plan.First == 0:
		return nil, stay("the primary has all of them")
	}
	if plan.Why, err = n.whyNothingIsLost(ctx, id, plan, remote); err != nil {
		return nil, err
	}
	found, err := n.st.Find(ctx, plan.First)
	if err != nil {
		return nil, err
	}
	if n.st.Size()-found.Pos > n.st.Size()/2 {
		return nil, &stayError{why: "they are more than half of the file", last: last, nothingLost: true}
	}
	known := &state.State{Follow: id.Follow}
	known.FollowFirst([]string{addr})
	plan.Follow = known.Follow
	return plan, nil
}

// whyNothingIsLost says why nothing is lost by a plan. A *stayError says why something may be.
func (n *Node) whyNothingIsLost(ctx context.Context, id *state.State, plan *state.Rewind, primary *rewind.Remote) (
	why string, err error) {
	records, packed, err := rewind.Holds(ctx, n.st, plan.Last)
	switch {
	case err != nil:
		return "", err
	case packed:
		return "", &stayError{why: "a pack has changed them", last: plan.Until}
	case !records:
		return whyEmpty, nil
	}
	if why := id.MayBeTold(plan.Last, primary.Epochs()); why != "" {
		return "", &stayError{why: why, last: plan.Until}
	}
	return whyUntold, nil
}

// NoteRewind writes down what the end of Run asks for: that the storage is rewound when it is opened again. It is
// called after Retire, when nobody writes to the storage any more. A plan for another state than that is dropped.
// ended: Run has ended for a rewind; noted: the next start does it.
func (n *Node) NoteRewind() (ended, noted bool) {
	if n.rewindAfter == nil {
		return false, false
	}
	n.noteRewind(n.rewindAfter)
	return true, n.rewindAfter.noted
}

func (n *Node) noteRewind(tail *rewindError) {
	if n.IsPrimary() || n.st.LastTid() != tail.plan.Until {
		return
	}
	site := rewind.Storage{FS: n.opt.FS, Data: n.opt.Data, Logger: n.opt.Logger}
	if failed := site.Note(n.keep, tail.plan); failed != nil {
		n.opt.Logger.Error("cannot save the rewind to the state file", "error", failed, "warning", warning.FilesWrong)
		return
	}
	tail.noted = true
	n.opt.Logger.Warn("this node has transactions that its primary never had: it sets them aside by itself; no "+
		"acknowledged commit is lost", "reason", tail.plan.Why, "from", tail.plan.First, "to", tail.plan.Until,
		"last_tid", tail.plan.Last, "warning", warning.SetAside)
}

// LeaderFor returns where the primary is, when the node at an address has refused this one: that may be a secondary
// with secondaries of its own. All members that are known are asked, and then those that they say they follow. Where
// nobody says that it leads, the primary is taken to be the one that has refused.
func (n *Node) LeaderFor(ctx context.Context, refused string) string {
	asked := []string{n.opt.ReplicationAddr}
	next := append([]string{refused}, n.others()...)
	for range protocol.MaxUpstreamPath {
		next = slices.DeleteFunc(next, func(addr string) bool { return addr == "" || slices.Contains(asked, addr) })
		slices.Sort(next)
		next = slices.Compact(next)
		if len(next) == 0 || len(asked) > state.MaxMembers {
			break
		}
		answers := n.askStatus(ctx, next)
		asked = append(asked, next...)
		next = nil
		for _, a := range answers {
			switch p := a.status; {
			case p == nil:
			case p.IsPrimary && len(p.Epochs) > 0 && n.isLatest(p.Epochs[len(p.Epochs)-1].Number):
				return a.addr
			case len(p.UpstreamAddr) <= maxAddress:
				next = append(next, clean(p.UpstreamAddr))
			}
		}
	}
	return refused
}

// maxAddress is how many bytes an address has that another node has told.
const maxAddress = 300
