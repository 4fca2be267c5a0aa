package commit

import (
	"bytes"
	"context"
	"errors"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// An applier puts a buffered transaction into the storage's.
type applier struct {
	t   *Transaction
	txn *filestorage.Txn
	out Outcome
}

// all applies every operation. It continues after a conflict, to find them all.
func (a *applier) all(ctx context.Context) error {
	for _, op := range a.t.buf.ops {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := a.apply(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) apply(ctx context.Context, op *operation) error {
	switch op.kind {
	case store:
		return a.store(op)
	case check:
		return a.txn.CheckCurrent(op.oid, op.serial)
	case remove:
		return a.txn.Delete(op.oid, op.serial)
	case restore:
		return a.restore(op)
	}
	oids, err := a.txn.Undo(ctx, op.serial)
	a.out.Changed = append(a.out.Changed, oids...)
	return err
}

// store writes a change, or what it and the committed one are together, or notes the conflict.
func (a *applier) store(op *operation) error {
	err := a.first(op)
	var conflict *zodb.ConflictError
	if !errors.As(err, &conflict) {
		return err
	}
	data, err := a.t.buf.record(op)
	if err != nil {
		return err
	}
	if merged, ok := a.resolve(conflict, data); ok {
		a.out.Changed = append(a.out.Changed, op.oid)
		a.out.Resolved++
		return a.write(op, conflict.Current, merged)
	}
	a.out.Conflicts = append(a.out.Conflicts, Conflict{op.oid, conflict.Current, op.serial, data})
	return nil
}

// first writes a change as it was sent. What is in the file goes from there to the storage's.
func (a *applier) first(op *operation) error {
	if op.spilt && op.blob == nil {
		return a.txn.StoreFrom(op.oid, op.serial, op.size, a.t.buf.spill.section(op.at, op.size))
	}
	data, err := a.t.buf.record(op)
	if err != nil {
		return err
	}
	return a.write(op, op.serial, data)
}

func (a *applier) write(op *operation, serial zodb.Tid, data []byte) error {
	if op.blob != nil {
		return a.txn.StoreDraft(op.oid, serial, data, op.blob)
	}
	return a.txn.Store(op.oid, serial, data)
}

// resolve asks for a merged record. If the revision does not exist any more it leaves the conflict to the client, as
// after a failure, and for an old revision, which is not searched for under the commit lock: the client finds it
// without.
func (a *applier) resolve(conflict *zodb.ConflictError, sent []byte) ([]byte, bool) {
	if a.t.opt.Resolve == nil {
		return nil, false
	}
	old, err := a.t.st.LoadRecent(conflict.Oid, conflict.Seen)
	if err != nil {
		return nil, false
	}
	committed, _, err := a.txn.Current(conflict.Oid)
	if err != nil {
		return nil, false
	}
	merged, err := a.t.opt.Resolve(old, committed, sent)
	return merged, err == nil
}

func (a *applier) restore(op *operation) error {
	rec := &zodb.Record{Oid: op.oid, Tid: op.serial, DataTxn: op.hint, HasPrev: true, Size: op.size}
	switch {
	case op.size == zodb.NoData:
	case op.spilt:
		rec.Data = a.t.buf.spill.section(op.at, op.size)
	default:
		rec.Data = bytes.NewReader(op.data)
	}
	return a.txn.Restore(rec)
}
