package node

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// ApplyUntil is admin.Control.
func (k *control) ApplyUntil(ctx context.Context, storage string, req admin.ApplyUntilRequest) (doc admin.ApplyUntil,
	err error) {
	m, err := k.member(storage)
	if err != nil {
		return doc, err
	}
	d := m.c.delay
	if d == nil {
		return doc, &admin.Refusal{Reason: admin.NotAllowed, Text: "this node has no apply delay: clients see " +
			"everything as it comes"}
	}
	err = m.c.handle.use(ctx, func(ctx context.Context, st undoLister) error {
		own, ok := st.(*filestorage.Storage)
		if !ok || d.primary() {
			return &admin.Refusal{Reason: admin.NotAllowed, Text: "this node is primary: clients see everything as " +
				"it is committed"}
		}
		doc, err = d.apply(ctx, own, req)
		return err
	})
	return doc, err
}

// apply holds what clients see, or lets it go on.
func (d *delayed) apply(ctx context.Context, st *filestorage.Storage, req admin.ApplyUntilRequest) (
	doc admin.ApplyUntil, err error) {
	if err := d.hold(&req); err != nil {
		return doc, err
	}
	doc = admin.ApplyUntil{
		Done: !req.DryRun, Until: admin.NonZero(req.Until), Shown: admin.NonZero(d.shownUpTo()),
		Received: admin.NonZero(st.LastTid()),
	}
	if req.Until != 0 {
		doc.Last, doc.First, err = around(ctx, st, req.Until)
	}
	return doc, err
}

// hold makes the transaction up to which clients may see durable, in the state file. Nothing that they see, or are
// about to see, can be taken back.
func (d *delayed) hold(req *admin.ApplyUntilRequest) error {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	if req.Until != 0 && req.Until < d.decided {
		return &admin.Refusal{Reason: admin.NotAllowed, Text: fmt.Sprintf("clients of this node have seen %v (%s), "+
			"which is later: zrsd serve --as-of shows what was before, zrsd undo and zrsd revert bring it back",
			d.decided, d.decided.Stamp())}
	}
	if req.DryRun {
		return nil
	}
	err := d.keep.Update(func(s *state.State) error {
		s.ApplyUntil = req.Until
		return nil
	})
	if errors.Is(err, state.ErrNoState) {
		return &admin.Refusal{Reason: admin.Unavailable, Text: "this secondary has not reached its primary yet: " +
			"clients see nothing"}
	}
	if err != nil {
		return fmt.Errorf("save up to where clients see: %w", err)
	}
	if d.poke(); req.Until == 0 {
		d.c.Logger.Info("clients see again what is older than the delay", "delay", d.delay)
	} else {
		d.c.Logger.Info("clients see nothing after a transaction, until zrsd apply-until --resume",
			"last_tid", req.Until)
	}
	return nil
}

// around returns the last transaction up to tid, and the first one after it.
func around(ctx context.Context, st *filestorage.Storage, tid zodb.Tid) (last, first *admin.TxnInfo, err error) {
	m, next, err := st.Moments().To(ctx, tid)
	if packedAway(err) {
		return nil, nil, nil // it is not shown before that is over
	}
	if err != nil || m.Tid == 0 {
		return nil, nil, err
	}
	if last, err = txnInfo(ctx, st, m.Tid); err == nil && next != 0 {
		first, err = txnInfo(ctx, st, next)
	}
	return last, first, err
}

// txnInfo describes the transaction with this tid.
func txnInfo(ctx context.Context, st *filestorage.Storage, tid zodb.Tid) (*admin.TxnInfo, error) {
	it, err := st.IterateRecords(tid-1, false)
	if err != nil {
		return nil, err
	}
	defer it.Close() //nolint:errcheck // nothing is written
	txn, err := it.Next(ctx)
	if errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // a pack has just removed it
	}
	if err != nil {
		return nil, err
	}
	meta := txn.Meta()
	return &admin.TxnInfo{
		Tid: meta.Tid, Time: lastTime(meta.Tid), User: string(shortened(meta.User)),
		Description: string(shortened(meta.Description)),
	}, nil
}
