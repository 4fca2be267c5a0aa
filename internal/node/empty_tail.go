package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/zrsd/zrsd/internal/identity"
	"github.com/zrsd/zrsd/internal/rewind"
)

// A primary whose place another node took has at least the transaction with which its epoch began, when nobody received
// that. Where all that it has alone are transactions without records, nothing is lost when they go, and it is rewound
// without a person: what zrsd rewind does is noted in the state file at the end of the session, when nobody writes any
// more, and done when the storage is opened again.

// planTimeout bounds the questions to the primary about one rewind.
const planTimeout = time.Minute

// An emptyTailError ends a session so that the storage is rewound.
type emptyTailError struct {
	plan  *identity.Rewind
	noted bool // the next start does it
}

func (e *emptyTailError) Error() string {
	return fmt.Sprintf("the transactions from %v to %v, none of which has records, are set aside", e.plan.First,
		e.plan.Until)
}

// refusedAt is called when the primary at an address has said that this node has what it never had. It returns an
// *emptyTailError when that is to be set aside without a person, otherwise nil.
func (r *replica) refusedAt(ctx context.Context, addr string) error {
	plan, err := r.planEmpty(ctx, addr)
	if err != nil && ctx.Err() == nil {
		r.c.Logger.Warn("it is not known whether all that the primary never had is without records: it stays here",
			"primary", addr, "error", err)
	}
	if plan == nil {
		return nil
	}
	return &emptyTailError{plan: plan}
}

// planEmpty returns how to take out what this node has alone; nil when that is for a person to decide.
func (r *replica) planEmpty(ctx context.Context, addr string) (*identity.Rewind, error) {
	id, last := r.keep.State(), r.st.LastTid()
	blobsElsewhere := r.c.SharedBlobs || r.c.Blobs == "" && rewind.FindBlobs(r.c.FS, r.c.Data) != ""
	if id == nil || id.Was != "" || last == 0 || blobsElsewhere {
		return nil, nil //nolint:nilnil // a person decides
	}
	if empty, err := rewind.Empty(ctx, r.st, last-1); err != nil || !empty {
		return nil, err // most tails end with data, and the primary need not be asked
	}
	ctx, cancel := context.WithTimeoutCause(ctx, planTimeout, fmt.Errorf("no answer within %v", planTimeout))
	defer cancel()
	plan, err := rewind.Common(ctx, r.st, id, &rewind.Remote{
		Dial:   func(ctx context.Context) (net.Conn, error) { return r.c.dialServer(ctx, addr) },
		Secret: r.c.read.secret, State: id, Magic: r.st.Magic(), Name: "zrsd rewind of " + r.c.Data,
	})
	var refusal *rewind.Refusal
	if errors.As(err, &refusal) || err == nil && plan.First == 0 {
		return nil, nil //nolint:nilnil // a person decides
	}
	if err != nil {
		return nil, err
	}
	if empty, err := rewind.Empty(ctx, r.st, plan.Last); err != nil || !empty {
		return nil, err
	}
	found, err := r.st.Find(ctx, plan.First)
	if err != nil || r.st.Size()-found.Pos > r.st.Size()/2 {
		return nil, err // more than half of the file
	}
	known := &identity.State{Follow: id.Follow}
	remember(known, []string{addr})
	plan.Follow = known.Follow
	return plan, nil
}

// noteRewind writes down what an *emptyTailError that has ended the session asks for. It is called when nobody changes
// the role or writes to the storage any more. A plan for another state than that is dropped.
func (r *replica) noteRewind() {
	tail := r.tail
	if tail == nil || r.isLeading() || r.st.LastTid() != tail.plan.Until {
		return
	}
	site := rewind.Site{FS: r.c.FS, Data: r.c.Data, Logger: r.c.Logger}
	if failed := site.Note(r.keep, tail.plan); failed != nil {
		r.c.Logger.Error("the rewind to what the primary has cannot be noted", "error", failed)
		return
	}
	tail.noted = true
	r.c.Logger.Warn("this node has transactions without records that its primary never had: it sets them aside by "+
		"itself, which loses no data", "from", tail.plan.First, "to", tail.plan.Until, "last", tail.plan.Last)
}
