package commit

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// Options of a Transaction. Zero values mean the defaults.
type Options struct {
	Dir        string // for the files of buffers; default: the system's temporary folder
	memory     int64  // bytes of records that are kept in memory; default 1 MiB
	bytes      int64  // of records in a transaction; default 64 GiB
	operations int    // in a transaction; default 10 million

	// Locked is called by Vote when it has the commit lock. An error is that of the vote. May be nil.
	Locked func() error
	// Resolve merges the record that a client sent with the committed one, both made from old. It fails when it
	// cannot; then the client is asked. May be nil.
	Resolve func(old, committed, sent []byte) ([]byte, error)
}

func (o Options) withDefaults() Options {
	if o.memory <= 0 {
		o.memory = 1 << 20
	}
	if o.bytes <= 0 {
		o.bytes = 64 << 30
	}
	if o.operations <= 0 {
		o.operations = 10_000_000
	}
	return o
}

// A Transaction is one of a client's. It is for one goroutine at a time; a Vote that waits is ended by its context.
//
// Where one of its calls cannot keep what it is given, because the disk is full or the transaction too large, that call
// and all after it fail, and so does Vote, with the same error: a client that cannot be told before then is told
// there.
type Transaction struct {
	st    *filestorage.Storage
	meta  zodb.TxnMeta
	opt   Options
	buf   buffer
	voted *filestorage.Txn
}

// New begins to buffer a transaction for st. With meta.Tid 0 it gets its tid at Vote.
func New(st *filestorage.Storage, meta zodb.TxnMeta, opt Options) *Transaction {
	t := &Transaction{st: st, meta: meta, opt: opt.withDefaults()}
	t.buf.opt = &t.opt
	return t
}

// Store buffers a change. serial is the revision that the client started from, 0 for a new object.
func (t *Transaction) Store(oid zodb.Oid, serial zodb.Tid, data []byte) error {
	return t.store(oid, serial, data, nil)
}

// StoreBlob buffers a change with a blob, which belongs to the transaction from now on.
func (t *Transaction) StoreBlob(oid zodb.Oid, serial zodb.Tid, data []byte, blob zodb.BlobDraft) error {
	return t.store(oid, serial, data, blob)
}

func (t *Transaction) store(oid zodb.Oid, serial zodb.Tid, data []byte, blob zodb.BlobDraft) error {
	op := &operation{kind: store, oid: oid, serial: serial, blob: blob}
	err := t.buf.fails(func() error {
		if err := t.buf.keep(op, data); err != nil {
			return err
		}
		return t.buf.add(op)
	})
	if err != nil && blob != nil {
		err = errors.Join(err, blob.Discard())
	}
	return err
}

// add buffers an operation without data of its own.
func (t *Transaction) add(op *operation) error {
	return t.buf.fails(func() error { return t.buf.add(op) })
}

// Take copies a record of size bytes into the transaction's file, for StoreRecord or RestoreRecord: it is never in
// memory as a whole. An error is one of reading from, or of buffering.
func (t *Transaction) Take(size int64, from io.Reader) (r Record, err error) {
	err = t.buf.fails(func() error {
		r, err = t.buf.take(size, from)
		return err
	})
	return r, err
}

// StoreRecord is Store with data that was taken.
func (t *Transaction) StoreRecord(oid zodb.Oid, serial zodb.Tid, r Record) error {
	return t.add(&operation{kind: store, oid: oid, serial: serial, spilt: true, at: r.at, size: r.size})
}

// RestoreRecord is Restore with data that was taken.
func (t *Transaction) RestoreRecord(oid zodb.Oid, tid zodb.Tid, r Record, hint zodb.Tid) error {
	return t.add(&operation{kind: restore, oid: oid, serial: tid, hint: hint, spilt: true, at: r.at, size: r.size})
}

// Check buffers the condition that serial is still the current revision of an object.
func (t *Transaction) Check(oid zodb.Oid, serial zodb.Tid) error {
	return t.add(&operation{kind: check, oid: oid, serial: serial})
}

// Delete buffers the deletion of an object.
func (t *Transaction) Delete(oid zodb.Oid, serial zodb.Tid) error {
	return t.add(&operation{kind: remove, oid: oid, serial: serial})
}

// Restore buffers a revision as another storage has it, nil data for none; hint is the transaction that has the same
// data, 0 for none.
func (t *Transaction) Restore(oid zodb.Oid, tid zodb.Tid, data []byte, hint zodb.Tid) error {
	op := &operation{kind: restore, oid: oid, serial: tid, hint: hint, size: zodb.NoData}
	return t.buf.fails(func() error {
		if data != nil {
			if err := t.buf.keep(op, data); err != nil {
				return err
			}
		}
		return t.buf.add(op)
	})
}

// Undo buffers taking back a transaction.
func (t *Transaction) Undo(tid zodb.Tid) error {
	return t.add(&operation{kind: undo, serial: tid})
}

// Broken returns why the transaction can only be aborted: something could not be kept. Vote fails with it.
func (t *Transaction) Broken() error { return t.buf.broken }

// A Conflict is a store that was not based on the current revision of its object.
type Conflict struct {
	Oid           zodb.Oid
	Current, Seen zodb.Tid
	Sent          []byte // the client's record
}

// An Outcome is what a Vote found.
type Outcome struct {
	// Changed are the objects of which the client does not know what was written: those undone and those resolved
	// here.
	Changed []zodb.Oid
	// Resolved is how many conflicts were resolved here.
	Resolved int
	// Conflicts is empty when the vote succeeded.
	Conflicts []Conflict
}

// Vote waits for the commit lock and applies the transaction, which is in the file then: Finish needs no room. When the
// Outcome has no conflicts, the lock is held until Finish or Abort. With conflicts, and after an error, it is not, and
// nothing was changed; after an error only Abort is left. Errors are those of filestorage.
func (t *Transaction) Vote(ctx context.Context) (*Outcome, error) {
	if t.voted != nil {
		return nil, fmt.Errorf("vote: it has voted already: %w", zodb.ErrTransaction)
	}
	if t.buf.broken != nil {
		return nil, fmt.Errorf("the transaction could not be buffered: %w", t.buf.broken)
	}
	txn, err := t.st.Begin(ctx, &t.meta)
	if err != nil {
		return nil, err
	}
	return t.vote(ctx, txn)
}

// VoteNow is Vote for a small transaction, if it does not have to wait. Otherwise nothing was
// done, and voted is false.
func (t *Transaction) VoteNow() (out *Outcome, voted bool, err error) {
	if t.voted != nil || t.buf.broken != nil || !t.buf.small() {
		return nil, false, nil //nolint:nilerr // Vote meets the error again
	}
	txn, _ := t.st.BeginNow(&t.meta) // Vote meets the error again
	if txn == nil {
		return nil, false, nil
	}
	out, err = t.vote(context.Background(), txn)
	return out, true, err
}

// vote applies the transaction to that of the storage.
func (t *Transaction) vote(ctx context.Context, txn *filestorage.Txn) (*Outcome, error) {
	txn.Tell()
	a := &applier{t: t, txn: txn}
	if err := t.apply(ctx, a); err != nil {
		return nil, errors.Join(err, txn.Abort())
	}
	if len(a.out.Conflicts) > 0 {
		a.out.Changed, a.out.Resolved = nil, 0
		return &a.out, txn.Abort()
	}
	if err := txn.Complete(); err != nil {
		return nil, errors.Join(err, txn.Abort())
	}
	t.voted = txn
	return &a.out, nil
}

// SyncAhead is filestorage.Txn.SyncAhead for a transaction that has voted: what makes it durable before Finish, or nil.
func (t *Transaction) SyncAhead() func() error {
	if t.voted == nil {
		return nil
	}
	return t.voted.SyncAhead()
}

// apply puts everything into the storage's transaction, if it may.
func (t *Transaction) apply(ctx context.Context, a *applier) error {
	if t.opt.Locked != nil {
		if err := t.opt.Locked(); err != nil {
			return err
		}
	}
	return a.all(ctx)
}

// Finish hands the transaction to the storage and gives the lock back. It is final, durable and visible when the commit
// is done; a failure shows there. With here set the caller is ready to wait for the disk, and must call the Commit's
// Settle next. Without a Commit nothing was handed over, and the transaction can be aborted. An
// error beside a Commit says what of the buffer could not be removed, which is nothing to the transaction.
func (t *Transaction) Finish(ctx context.Context, here bool) (zodb.Tid, *filestorage.Commit, error) {
	if t.voted == nil {
		return 0, nil, fmt.Errorf("finish: there was no vote: %w", zodb.ErrTransaction)
	}
	txn := t.voted
	enqueue := txn.Enqueue
	if here {
		enqueue = txn.EnqueueHere
	}
	c, err := enqueue(ctx)
	if err != nil {
		return 0, nil, err
	}
	t.voted = nil
	return txn.Tid(), c, t.buf.drop()
}

// Abort drops the transaction. It is idempotent.
func (t *Transaction) Abort() error {
	var err error
	if t.voted != nil {
		err = t.voted.Abort()
		t.voted = nil
	}
	return errors.Join(err, t.buf.drop())
}

// Tid returns the tid of a transaction that has voted.
func (t *Transaction) Tid() (tid zodb.Tid, voted bool) {
	if t.voted == nil {
		return 0, false
	}
	return t.voted.Tid(), true
}
