package filestorage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// Complete writes the whole transaction to the file, as one that is not finished. It takes no records any more. All
// that needs room on the disk has been done then: a full disk fails here, and neither Vote nor Enqueue nor Finish.
// After an error only Abort is left.
func (t *Txn) Complete() error {
	if err := t.alive(); err != nil || t.complete {
		return err
	}
	t.s.waits.vote.Waits(waitWrite)
	defer t.s.waits.vote.Done()
	if err := t.writeEnd(); err != nil {
		return t.mayBreak(fmt.Errorf("write transaction %v: %w", t.header.Tid, err))
	}
	t.complete = true
	return nil
}

// SyncAhead returns a function that makes the records of a complete transaction durable ahead of Enqueue, or nil where
// that is not worthwhile: it is when nothing else is being written to the disk, the disk is quick, and nobody waits to
// begin. It is for the time while the client has the answer of its vote and has not finished. A crash still removes the
// transaction.
//
// The returned function must be called. The transaction may be ended by another goroutine meanwhile. After an error the
// storage takes no more transactions, this one included.
func (t *Txn) SyncAhead() func() error {
	s := t.s
	if !t.complete || t.alive() != nil || len(t.blobs) > 0 || s.waiting.Load() > 0 {
		return nil
	}
	turn := s.queue.takeTurn()
	if turn == nil {
		return nil
	}
	e := s.hold() // a pack may put another file there while a transaction that has ended is synced
	return func() error {
		defer e.release()
		begun := time.Now()
		s.waits.disk.Waits(waitSync)
		err := s.syncData(e.file)
		s.waits.disk.Done()
		s.queue.took(time.Since(begun))
		if err != nil {
			err = s.fail(fmt.Errorf("sync transaction %v early: %w", t.header.Tid, err))
		}
		s.queue.aheadOf(t, turn, err)
		return err
	}
}

// Vote makes the transaction and its blobs durable, as one that is not finished: a crash removes it. It waits for what
// was enqueued before. After an error only Abort is left, except when it was ctx that ended.
func (t *Txn) Vote(ctx context.Context) error {
	if err := t.alive(); err != nil {
		return err
	}
	if err := t.s.queue.room(ctx, 1); err != nil {
		return fmt.Errorf("vote: %w", err)
	}
	if err := t.Complete(); err != nil {
		return fmt.Errorf("vote: %w", err)
	}
	g := &group{}
	g.add(t)
	defer t.s.waits.disk.Done()
	if err := t.s.prepare(g); err != nil {
		return t.mayBreak(fmt.Errorf("vote: %w", err))
	}
	t.voted = g
	return nil
}

// Finish makes the transaction final and visible, after a Vote if there was none, and returns its tid. f, which may be
// nil, is called when it is durable and not yet visible. After an error other than *FailedError the transaction can be
// aborted; after a *FailedError it is unknown whether it is there when the storage is opened again.
func (t *Txn) Finish(ctx context.Context, f func(zodb.Tid)) (zodb.Tid, error) {
	if t.voted == nil {
		if err := t.Vote(ctx); err != nil {
			return 0, err
		}
	}
	if t.over {
		return 0, zodb.ErrTransaction
	}
	if t.broken != nil {
		return 0, fmt.Errorf("transaction %v can only be aborted: %w", t.header.Tid, t.broken)
	}
	if err := t.s.checkPath(); err != nil {
		return 0, t.mayBreak(t.s.fail(err))
	}
	defer t.s.waits.disk.Done()
	t.s.waits.disk.Waits(waitNames)
	if err := publishBlobs(t.blobs); err != nil {
		return 0, t.mayBreak(fmt.Errorf("finish: %w", err))
	}
	if err := t.s.finalizeGroup(t.voted); err != nil {
		t.release()
		return 0, err
	}
	if f != nil {
		f(t.header.Tid)
	}
	t.s.publishGroup(t.voted)
	tellBlobs(t.blobs)
	t.s.writer.end, t.s.writer.last = t.voted.end, t.header.Tid
	t.release()
	return t.header.Tid, nil
}

// Enqueue completes the transaction, hands it to the syncer and releases the commit lock at once. After an error the
// transaction can be aborted.
func (t *Txn) Enqueue(ctx context.Context) (*Commit, error) { return t.enqueue(ctx, false) }

// EnqueueHere is Enqueue for a caller that waits for the disk itself, which saves a handover where nobody else commits:
// the caller must call the Commit's Settle next.
func (t *Txn) EnqueueHere(ctx context.Context) (*Commit, error) { return t.enqueue(ctx, true) }

func (t *Txn) enqueue(ctx context.Context, finalizes bool) (*Commit, error) {
	if err := t.alive(); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := t.Complete(); err != nil {
		return nil, err
	}
	g, lead, err := t.s.queue.join(t, finalizes)
	if err != nil {
		return nil, t.mayBreak(fmt.Errorf("enqueue transaction %v: %w", t.header.Tid, err))
	}
	t.s.writer.end, t.s.writer.last = t.s.writer.out.pos(), t.header.Tid
	t.release()
	c := &Commit{group: g}
	if lead {
		c.s = t.s
	}
	return c, nil
}

// Abort drops the transaction: its blobs, and what of it was written to the file. It does nothing to one that is over.
func (t *Txn) Abort() error {
	if t.over {
		return nil
	}
	err := eachBlob(t.blobs, zodb.StagedBlob.Discard)
	if err != nil && t.voted != nil { // a published one may be left: recovery finds it by its record
		err = t.s.fail(fmt.Errorf("discard the blobs of transaction %v: %w", t.header.Tid, err))
	} else {
		err = errors.Join(err, t.cut())
	}
	t.release()
	if err != nil {
		return fmt.Errorf("abort transaction %v: %w", t.header.Tid, err)
	}
	return nil
}

// writeEnd completes the transaction in the file.
func (t *Txn) writeEnd() error {
	out := &t.s.writer.out
	t.header.Length = uint64(out.pos() - t.start)
	if _, err := out.Write(binary.BigEndian.AppendUint64(nil, t.header.Length)); err != nil {
		return err
	}
	h := t.header
	h.Status = zodb.StatusCheckpoint
	var b [txnHeaderLen]byte
	h.encode(b[:])
	if err := out.patch(b[:], t.start); err != nil {
		return err
	}
	return out.flush()
}

// setStatus gives the transaction, which is complete in the file, the status that it is to have.
func (t *Txn) setStatus() error {
	at := t.start + statusAt
	if _, err := t.s.file.WriteAt([]byte{byte(t.header.Status)}, at); err != nil {
		return fmt.Errorf("write the status at %d: %w", at, err)
	}
	return nil
}

// cut takes what was written of the transaction off the file. If that fails, nothing can be written after it.
func (t *Txn) cut() error {
	if !t.s.writer.out.touched {
		return nil
	}
	if err := t.s.file.Truncate(t.start); err != nil {
		return t.s.fail(fmt.Errorf("cut off an aborted transaction at %d: %w", t.start, err))
	}
	return nil
}

// release ends the transaction and gives the commit lock back.
func (t *Txn) release() {
	t.over = true
	t.entries, t.blobs, t.blobOf = nil, nil, nil
	<-t.s.commit
}
