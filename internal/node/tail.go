package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
)

// A primary whose place another node took may have transactions that nobody received: at least the one with which its
// epoch began. Where all of them are without records, or where it is certain that no client was told of them, nothing
// is lost when they go, and the node is rewound without a person: what zrsd rewind does is noted in the state file at
// the end of the session, when nobody writes any more, and done when the storage is opened again.

// planTimeout bounds the questions to the primary about one rewind.
const planTimeout = time.Minute

// Why nobody is asked.
const (
	whyEmpty  = "none of these transactions has records"
	whyUntold = "no client was told of these transactions: commits waited for secondaries that did not have them"
)

// A tailError ends a session so that the storage is rewound.
type tailError struct {
	plan  *state.Rewind
	noted bool // the next start does it
}

func (e *tailError) Error() string {
	return fmt.Sprintf("the transactions from %v to %v are set aside: %s", e.plan.First, e.plan.Until, e.plan.Why)
}

// refusedAt is called when the node at an address has said that this one has what it never had. It returns a
// *tailError when that is to be set aside without a person, otherwise nil.
func (r *replica) refusedAt(ctx context.Context, addr string) error {
	plan, err := r.planTail(ctx, addr)
	if err != nil && ctx.Err() == nil {
		r.c.Logger.Warn("cannot tell whether the transactions that the primary lacks may be set aside: they stay here",
			"refused_by", addr, "error", err)
	}
	if plan == nil {
		return nil
	}
	return &tailError{plan: plan}
}

// planTail returns how to take out what this node has alone; nil when that is for a person to decide.
func (r *replica) planTail(ctx context.Context, addr string) (*state.Rewind, error) {
	id, last := r.keep.State(), r.st.LastTid()
	blobsElsewhere := r.c.SharedBlobs || r.c.Blobs == "" && rewind.FindBlobs(r.c.FS, r.c.Data) != ""
	if id == nil || id.Was != "" || last == 0 || blobsElsewhere {
		return nil, nil //nolint:nilnil // a person decides
	}
	if id.Waits == nil {
		if empty, err := rewind.Empty(ctx, r.st, last-1); err != nil || !empty {
			return nil, err // most tails end with data, and the primary need not be asked
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, planTimeout, fmt.Errorf("no answer within %v", planTimeout))
	defer cancel()
	addr = r.leaderFor(ctx, addr)
	remote := &rewind.Remote{
		Dial:   func(ctx context.Context) (net.Conn, error) { return r.c.dialServer(ctx, addr) },
		Secret: r.c.read.secret, State: id, Magic: r.st.Magic(), Name: "zrsd rewind of " + r.c.Data,
	}
	plan, err := rewind.Common(ctx, r.st, id, remote)
	if err == nil && plan.First != 0 {
		err = rewind.NeedsBlobs(ctx, r.st, plan.Last)
	}
	var refusal *rewind.Refusal
	if errors.As(err, &refusal) || err == nil && plan.First == 0 {
		return nil, nil //nolint:nilnil // a person decides
	}
	if err != nil {
		return nil, err
	}
	if plan.Why, err = r.losesNothing(ctx, id, plan, remote); err != nil || plan.Why == "" {
		return nil, err
	}
	found, err := r.st.Find(ctx, plan.First)
	if err != nil || r.st.Size()-found.Pos > r.st.Size()/2 {
		return nil, err // more than half of the file
	}
	known := &state.State{Follow: id.Follow}
	known.FollowFirst([]string{addr})
	plan.Follow = known.Follow
	return plan, nil
}

// losesNothing says why nothing is lost by a plan; empty: something may be.
func (r *replica) losesNothing(ctx context.Context, id *state.State, plan *state.Rewind, primary *rewind.Remote) (
	why string, err error) {
	records, packed, err := rewind.Holds(ctx, r.st, plan.Last)
	switch {
	case err != nil || packed:
		return "", err
	case !records:
		return whyEmpty, nil
	case id.Untold(plan.Last, primary.Epochs()):
		return whyUntold, nil
	}
	return "", nil
}

// noteRewind writes down what a *tailError that has ended the session asks for. It is called when nobody changes the
// role or writes to the storage any more. A plan for another state than that is dropped.
func (r *replica) noteRewind() {
	tail := r.tail
	if tail == nil || r.isLeading() || r.st.LastTid() != tail.plan.Until {
		return
	}
	site := rewind.Storage{FS: r.c.FS, Data: r.c.Data, Logger: r.c.Logger}
	if failed := site.Note(r.keep, tail.plan); failed != nil {
		r.c.Logger.Error("cannot save the rewind to the state file", "error", failed)
		return
	}
	tail.noted = true
	r.c.Logger.Warn("this node has transactions that its primary never had: it sets them aside by itself; no "+
		"acknowledged commit is lost", "reason", tail.plan.Why, "from", tail.plan.First, "to", tail.plan.Until,
		"last_tid", tail.plan.Last)
}
