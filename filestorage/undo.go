package filestorage

import (
	"context"
	"fmt"
	"io"

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
