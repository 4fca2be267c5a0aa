package filestorage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// A Conflict is two changes of one object with a common ancestor: what ZODB resolves with _p_resolveConflict. States
// are whole records, as they are stored.
type Conflict struct {
	Oid       zodb.Oid
	Old       []byte // the ancestor
	Committed []byte // the change that is in the storage
	New       []byte // the other one
}

// A Resolver merges the changes of a conflict into one record. Any error says that it cannot.
type Resolver func(*Conflict) ([]byte, error)

// The texts of ZODB's UndoErrors, misprints included.
const (
	undoNoTransaction = "Invalid transaction id"
	undoImpossible    = "non-undoable transaction"
	undoCreation      = "Can't undo an add transaction followed by conflicting transactions."
	undoNoData        = "_loadBack() failed"
	undoNoOldData     = "_loadBack() failed for %s"
	undoConflict      = "Some data were modified by a later transaction"
)

// An undoStep is a record that undoes another.
type undoStep struct {
	oid      zodb.Oid
	prev     int64  // the current record, without those of the transaction in progress
	back     int64  // the record to point back to, 0 for none
	resolved []byte // data to write instead
}

// An undoPlan is worked out before anything is written.
type undoPlan struct {
	t        *Txn
	own      map[zodb.Oid]int64 // records of the transaction in progress
	end      int64              // of these
	steps    []undoStep
	failures []zodb.UndoFailure
}

func (t *Txn) planUndo(ctx context.Context, tid zodb.Tid) (*undoPlan, error) {
	out := &t.s.writer.out
	if err := out.flush(); err != nil { // from here on all records are read from the file
		return nil, t.mayBreak(fmt.Errorf("undo transaction %v: %w", tid, err))
	}
	u := &undoPlan{t: t, own: make(map[zodb.Oid]int64, len(t.entries)), end: out.pos()}
	for _, e := range t.entries {
		u.own[e.oid] = e.pos
	}
	h, pos, err := t.s.undoable(ctx, tid)
	if err != nil {
		return nil, err
	}
	err = t.s.eachRecord(&h, pos, func(r *recHeader, at int64) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return u.add(r, at)
	})
	if err != nil {
		return nil, fmt.Errorf("undo transaction %v: %w", tid, err)
	}
	if len(u.failures) > 0 {
		return nil, &zodb.MultipleUndoError{Tid: tid, Failures: u.failures}
	}
	return u, nil
}

// undoable finds the transaction with this tid, which must be one that can be undone.
func (s *Storage) undoable(ctx context.Context, tid zodb.Tid) (h txnHeader, pos int64, err error) {
	src := s.source()
	p, err := src.headerCursor()
	found := false
	if err == nil {
		found, err = p.exact(ctx, tid)
	}
	err = errors.Join(err, src.release())
	switch {
	case err != nil:
		return h, 0, fmt.Errorf("undo transaction %v: %w", tid, err)
	case !found:
		return h, 0, &zodb.UndoError{Tid: tid, Reason: undoNoTransaction}
	case p.txn.Status != zodb.StatusCommitted:
		return h, 0, &zodb.UndoError{Tid: tid, Reason: undoImpossible}
	}
	return p.txn, p.pos, nil
}

// add plans what undoes the record r at pos. A later record of an oid makes up for the failure of an earlier one.
func (u *undoPlan) add(r *recHeader, pos int64) error {
	u.failures = slices.DeleteFunc(u.failures, func(f zodb.UndoFailure) bool { return f.Oid == r.Oid })
	step := undoStep{oid: r.Oid, back: r.Prev}
	step.prev, _ = u.t.s.index.get(r.Oid)
	current, ok := u.own[r.Oid]
	if !ok {
		current = step.prev
	}
	if current != pos {
		failure, err := u.changed(r, pos, current, &step)
		if err != nil {
			return err
		}
		if failure != nil {
			failure.Oid = r.Oid
			u.failures = append(u.failures, *failure)
			return nil
		}
	}
	u.steps = append(u.steps, step)
	return nil
}

// changed plans the step for a record that is not the current one of its oid. It can still be undone when the current
// one has the same data, or when the changes since can be kept by resolving a conflict.
func (u *undoPlan) changed(r *recHeader, pos, current int64, step *undoStep) (*zodb.UndoFailure, error) {
	s := u.t.s
	c, err := s.record(r.Oid, current, u.end)
	if err != nil || c.PLen == 0 && c.back == pos {
		return nil, err
	}
	_, undone, err := s.revision(r.Oid, pos, u.end)
	if err != nil {
		return nil, err
	}
	_, now, err := s.revision(r.Oid, current, u.end)
	switch {
	case err != nil:
		return nil, err
	case undone == nil || now == nil:
		return &zodb.UndoFailure{Reason: undoNoData}, nil
	case bytes.Equal(undone, now):
		return nil, nil
	case r.Prev == 0:
		return &zodb.UndoFailure{Reason: undoCreation}, nil
	}
	_, before, err := s.revision(r.Oid, r.Prev, pos)
	switch {
	case err != nil:
		return nil, err
	case before == nil:
		return &zodb.UndoFailure{Reason: undoNoOldData}, nil
	}
	return u.resolve(&Conflict{Oid: r.Oid, Old: undone, Committed: now, New: before}, step), nil
}

// resolve merges the changes since the record that is to be undone with going back to the state before it.
func (u *undoPlan) resolve(c *Conflict, step *undoStep) *zodb.UndoFailure {
	if u.t.s.resolver == nil {
		return &zodb.UndoFailure{Reason: undoConflict}
	}
	resolved, err := u.t.s.resolver(c)
	if err == nil && len(resolved) == 0 {
		err = zodb.ErrEmptyData
	}
	if err != nil {
		return &zodb.UndoFailure{Reason: undoConflict, Err: err}
	}
	step.resolved, step.back = resolved, 0
	return nil
}
