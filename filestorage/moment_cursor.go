package filestorage

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A MomentCursor goes from one moment of a storage to later ones, and reads what lies between two of them once. It is
// for one goroutine at a time.
//
//	Data.fs   1 │ 2 │ 3 │ 4 │ 5 │ 6        To(4): reads 3 and 4, and the header of 5, which is the next one
//	            at ▲        ▲ then
type MomentCursor struct {
	st *Storage
	in *commitPoint // of the file in which at is; nil: nowhere yet
	at Moment
}

// Moments returns a cursor that is nowhere yet.
func (s *Storage) Moments() *MomentCursor { return &MomentCursor{st: s} }

// To returns the state after the last transaction whose tid is not above tid, as MomentAt, and the tid of the first
// transaction after it; 0: there is none. An earlier moment than the last one, and one in the file of a pack, is looked
// for anew.
func (c *MomentCursor) To(ctx context.Context, tid zodb.Tid) (m Moment, next zodb.Tid, err error) {
	src := c.st.sourceOf(c.st.hold(), nil)
	m, next, err = c.to(ctx, src, tid)
	if err = errors.Join(c.st.meets(err), src.release()); err != nil {
		c.in = nil
		return Moment{}, 0, fmt.Errorf("find the state of %s at %v: %w", c.st.path, tid, err)
	}
	c.in, c.at = src.commitPoint, m
	return m, next, nil
}

func (c *MomentCursor) to(ctx context.Context, src *source, tid zodb.Tid) (m Moment, next zodb.Tid, err error) {
	if m = c.at; c.in != src.commitPoint || tid < m.Tid {
		if m, err = c.st.momentIn(ctx, src, tid); err != nil {
			return m, 0, err
		}
	}
	p, err := src.headerCursor()
	if err != nil {
		return m, 0, err
	}
	if err := p.load(m.Size); err != nil {
		return m, 0, err
	}
	for !p.atEnd() && p.txn.Tid <= tid {
		if ctx.Err() != nil {
			return m, 0, context.Cause(ctx)
		}
		if p.txn.Status != zodb.StatusUndone {
			m.Tid = p.txn.Tid
		}
		if err := p.next(); err != nil {
			return m, 0, err
		}
	}
	if err := c.st.unpacked(p, tid); err != nil {
		return m, 0, err
	}
	created, err := src.created(ctx, m.Size, p.pos)
	if err != nil {
		return m, 0, err
	}
	m.Size, m.Len = p.pos, m.Len+created
	if !p.atEnd() {
		next = p.txn.Tid
	}
	return m, next, nil
}
