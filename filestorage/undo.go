package filestorage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// Undo takes back what transaction tid did, and returns the oids of the objects that it changed, in its order. Each one
// gets a record that points back to the one that was current before that transaction; an object that the transaction
// created does not exist any more. A blob that comes back that way is copied. Several transactions may be undone in
// one, the latest first. Undo waits for what was enqueued before this transaction.
//
// An object that was changed since, unless to what it was, is a conflict, which Options.Resolve may solve. While one is
// not solved the error is a *zodb.MultipleUndoError. A *zodb.UndoError says that there is no such transaction, or none
// that can be undone: a pack, for one, has been there. Both leave the transaction as it was; after another error it may
// be that it can only be aborted.
func (t *Txn) Undo(ctx context.Context, tid zodb.Tid) ([]zodb.Oid, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	if err := t.s.queue.room(ctx, 1); err != nil {
		return nil, fmt.Errorf("undo transaction %v: %w", tid, err)
	}
	u, err := t.planUndo(ctx, tid)
	if err != nil {
		return nil, err
	}
	seen := make(map[zodb.Oid]bool, len(u.steps))
	var oids []zodb.Oid
	for _, step := range u.steps {
		if err := t.undo(step); err != nil {
			return nil, t.mayBreak(fmt.Errorf("undo transaction %v: oid %v: %w", tid, step.oid, err))
		}
		if !seen[step.oid] {
			seen[step.oid] = true
			oids = append(oids, step.oid)
		}
	}
	return oids, nil
}

// undo writes what a step says.
func (t *Txn) undo(step undoStep) error {
	r := recHeader{Oid: step.oid, Tid: t.header.Tid, Prev: step.prev, PLen: uint64(len(step.resolved))}
	if r.PLen == 0 {
		if err := t.writePointer(&r, step.back); err != nil || step.back == 0 {
			return err
		}
		return t.copyBlob(step.oid, step.back)
	}
	if err := t.write(&r); err != nil {
		return err
	}
	_, err := t.s.writer.out.Write(step.resolved)
	return err
}

// copyBlob gives the transaction a copy of the blob of the revision of oid at pos, where it has one.
func (t *Txn) copyBlob(oid zodb.Oid, pos int64) error {
	if t.s.blobs == nil {
		return nil
	}
	r, err := t.s.origin(oid, pos, t.start)
	if err != nil || r.PLen == 0 {
		return err
	}
	head := make([]byte, min(zodb.BlobHeadLen, r.PLen))
	if err := readFull(t.s.file, head, r.pos+recHeaderLen); err != nil || !zodb.IsBlobRecord(head) {
		return err
	}
	f, err := t.s.blobs.OpenBlob(oid, r.Tid)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return t.stage(oid, t.header.Tid, io.NewSectionReader(f, 0, info.Size()), info.Size())
}

// origin follows back pointers from the record of oid at pos to the one that has the data, or to the one where they end
// without.
func (e *openDataFile) origin(oid zodb.Oid, pos, end int64) (record, error) {
	r, err := e.record(oid, pos, end)
	for err == nil && r.PLen == 0 && r.back != 0 {
		r, err = e.record(oid, r.back, end)
	}
	return r, err
}

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
