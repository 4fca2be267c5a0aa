package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// txnID is the client's name for its transaction: there is one at a time.
const txnID = int64(1)

// maxExtension bounds the memory for an extension, of which a transaction has 64 KiB at most.
const maxExtension = 1 << 20

// A Txn is a transaction under way. It is for one goroutine.
type Txn struct{ c *Conn }

// Begin begins a transaction, which Commit or Abort has to end before the next. With meta.Tid 0 the server chooses its
// tid when it votes; any other must be above its last one. An extension must be a pickle. meta.Status is ignored.
// With Options.AsyncBegin only the extension can be an error.
func (c *Conn) Begin(ctx context.Context, meta *zodb.TxnMeta) (*Txn, error) {
	var extension pickle.Value = &pickle.Dict{}
	if len(meta.Extension) > 0 {
		v, err := pickle.Load(meta.Extension, pickle.Limits{Bytes: maxExtension})
		if err != nil {
			return nil, fmt.Errorf("the extension of a transaction: %w", err)
		}
		extension = v
	}
	var tid pickle.Value
	if meta.Tid != 0 {
		tid = idValue(meta.Tid)
	}
	args := []pickle.Value{
		txnID, pickle.Bytes(meta.User), pickle.Bytes(meta.Description), extension, tid,
		string(zodb.StatusCommitted),
	}
	var err error
	if c.opt.AsyncBegin {
		err = c.tell(ctx, "tpc_begin", args...)
	} else {
		_, err = c.call(ctx, "tpc_begin", args...)
	}
	if err != nil {
		return nil, err
	}
	return &Txn{c}, nil
}

// Store adds a change of an object. serial is the revision that the change started from, 0 for a new object. Whether
// others have changed it meanwhile shows at Commit.
func (t *Txn) Store(ctx context.Context, oid zodb.Oid, serial zodb.Tid, data []byte) error {
	return t.c.tell(ctx, "storea", idValue(oid), idValue(serial), pickle.Bytes(data), txnID)
}

// Check adds the condition that serial is still the current revision of an object at Commit.
func (t *Txn) Check(ctx context.Context, oid zodb.Oid, serial zodb.Tid) error {
	return t.c.tell(ctx, "checkCurrentSerialInTransaction", idValue(oid), idValue(serial), txnID)
}

// Delete adds the deletion of an object of which serial is the current revision.
func (t *Txn) Delete(ctx context.Context, oid zodb.Oid, serial zodb.Tid) error {
	return t.c.tell(ctx, "deleteObject", idValue(oid), idValue(serial), txnID)
}

// Undo adds the undoing of a transaction. Whether it can be undone shows at Vote, as *zodb.UndoError or
// *zodb.MultipleUndoError. Several are undone in the order of the calls.
func (t *Txn) Undo(ctx context.Context, tid zodb.Tid) error {
	b := tid.Bytes()
	return t.c.tell(ctx, "undoa", pickle.Bytes(base64.StdEncoding.EncodeToString(b[:])), txnID)
}

// Commit commits the transaction and returns its tid. What its errors mean is in the package comment; of those that
// leave the connection as it was, *zodb.ConflictError is the usual one. They have to be followed by Abort.
func (t *Txn) Commit(ctx context.Context) (zodb.Tid, error) {
	c := t.c
	defer c.until(ctx)()
	answer := make(chan reply, 1)
	finished := func(r reply) { answer <- r }
	var finishing atomic.Bool // from before tpc_finish is sent
	voted := func(r reply) {
		if r.err = voteError(r); r.err != nil {
			answer <- r
			return
		}
		finishing.Store(true)
		c.goOn(finished, "tpc_finish", txnID)
	}
	if err := c.send(c.expect(voted, "vote", txnID)); err != nil {
		return 0, err
	}
	r := c.await(answer, "commit")
	if !finishing.Load() {
		return 0, r.err
	}
	return outcome(r)
}

// Vote is the first half of Commit: it asks the server whether the transaction can be committed. From then on the
// server keeps all others waiting until Finish or Abort.
func (t *Txn) Vote(ctx context.Context) error {
	_, err := t.VoteOids(ctx)
	return err
}

// VoteOids is Vote that says which objects undos have changed, and of which the server has resolved a conflict.
func (t *Txn) VoteOids(ctx context.Context) ([]zodb.Oid, error) {
	v, err := t.c.call(ctx, "vote", txnID)
	if err := voteError(reply{v, err}); err != nil {
		return nil, err
	}
	return oidsOf(v)
}

// Finish is the second half of Commit, for a transaction that Vote has returned no error for.
func (t *Txn) Finish(ctx context.Context) (zodb.Tid, error) {
	v, err := t.c.call(ctx, "tpc_finish", txnID)
	return outcome(reply{v, err})
}

// voteError reads the reply to vote.
func voteError(r reply) error {
	if r.err != nil {
		return r.err
	}
	conflict, err := votedOf(r.value)
	if err != nil {
		return fmt.Errorf("the answer to vote: %w", err)
	}
	if conflict != nil {
		return fmt.Errorf("vote: %w", conflict)
	}
	return nil
}

// outcome reads the reply to tpc_finish.
func outcome(r reply) (zodb.Tid, error) {
	var ended *endedError
	if errors.As(r.err, &ended) {
		return 0, &UnknownError{r.err}
	}
	if r.err != nil {
		return 0, r.err
	}
	tid, err := tidOf(r.value)
	if err != nil {
		return 0, &UnknownError{fmt.Errorf("the answer to tpc_finish: %w", err)}
	}
	return tid, nil
}

// votedOf reads the answer to vote: an oid for each object that the server has resolved itself, and a dictionary for
// each conflict that the client should resolve, of which it returns the first.
func votedOf(v pickle.Value) (*zodb.ConflictError, error) {
	answers, err := items(v)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		if d, ok := a.(*pickle.Dict); ok {
			if conflict := conflictOf(d); conflict != nil {
				return conflict, nil
			}
			return nil, fmt.Errorf("a conflict without oid or serials: %w", errReply)
		}
	}
	return nil, nil //nolint:nilnil // no conflict
}

// Abort drops the transaction, whatever has become of it.
func (t *Txn) Abort(ctx context.Context) error {
	_, err := t.c.call(ctx, "tpc_abort", txnID)
	return err
}
