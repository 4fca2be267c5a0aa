package hashchain

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A Chain is the history of a node: a Local, or a Remote.
type Chain interface {
	// Span says where the chain begins and ends.
	Span(ctx context.Context) (Span, error)
	// At returns the point after the last transaction at or before tid, of the chain that begins after base. The
	// error is an *UnknownError when the node cannot tell.
	At(ctx context.Context, base, tid zodb.Tid) (Point, error)
}

// A Span is from where to where a chain goes.
type Span struct {
	Base zodb.Tid // the chain begins after it; 0: with the first transaction
	Last zodb.Tid // the last transaction of the storage
}

// A Difference is what two histories have in common, and where they part.
type Difference struct {
	A, B Span
	Base zodb.Tid // from after which they were compared
	// Common is the last point at which they are known to be equal. Without a difference it is the end of the one that
	// is shorter.
	Common Point
	// First is the first transaction that is not the same on both sides, or is on one side only, though both continue;
	// 0: there is none.
	First zodb.Tid
	// Exact is false when the first difference may be anywhere between Common and First, in a packed part.
	Exact bool
}

// FirstDifference compares two histories from the later of their bases to the earlier of their ends. It asks each side
// at most 66 times. The error is an *UnknownError when one of them cannot tell anything from that base.
func FirstDifference(ctx context.Context, a, b Chain) (d Difference, err error) {
	if d.A, err = a.Span(ctx); err != nil {
		return d, fmt.Errorf("asking A: %w", err)
	}
	if d.B, err = b.Span(ctx); err != nil {
		return d, fmt.Errorf("asking B: %w", err)
	}
	d.Base, d.Exact = max(d.A.Base, d.B.Base), true
	d.Common = Point{Tid: d.Base}
	end := min(d.A.Last, d.B.Last)
	if end < d.Base {
		return d, &UnknownError{d.Base, end, "one history ends before the other one can be compared"}
	}
	pair := pair{a, b, d.Base}
	at, last, err := pair.at(ctx, end)
	if err != nil {
		return d, err
	}
	if at != nil {
		d.Common = *at
		return d, nil
	}
	d.First = last
	return d, d.bisect(ctx, pair)
}

// bisect narrows the difference down. Histories are not equal at First; at low they are, or nobody knows.
func (d *Difference) bisect(ctx context.Context, p pair) error {
	for low := d.Base; d.First > low+1; {
		middle := low + (d.First-low)/2
		at, last, err := p.at(ctx, middle)
		unknown := (*UnknownError)(nil)
		switch {
		case errors.As(err, &unknown):
			low, d.Exact = middle, false
		case err != nil:
			return err
		case at != nil:
			d.Common, low, d.Exact = *at, middle, true
		default:
			d.First = last
		}
	}
	return nil
}

// A pair is two chains from the same base.
type pair struct {
	a, b Chain
	base zodb.Tid
}

// at returns the point that both sides have at tid. When theirs are not the same it is nil, and last is the last
// transaction of either side up to tid.
func (p pair) at(ctx context.Context, tid zodb.Tid) (same *Point, last zodb.Tid, err error) {
	a, err := p.a.At(ctx, p.base, tid)
	if err != nil {
		return nil, 0, fmt.Errorf("asking A: %w", err)
	}
	b, err := p.b.At(ctx, p.base, tid)
	if err != nil {
		return nil, 0, fmt.Errorf("asking B: %w", err)
	}
	if a == b {
		return &a, 0, nil
	}
	return nil, max(a.Tid, b.Tid), nil
}
