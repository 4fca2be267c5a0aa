package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// tidGap is how many tids a new epoch leaves out, a second of them. Where clocks are behind the last tid, two nodes
// would otherwise give the same one to different transactions, and a client could not tell that what it saw is gone.
const tidGap = 1 << 26

// heardAhead is how far ahead of the last transaction here, or of the clock, a tid may be that others have told, to be
// believed.
const heardAhead = time.Hour

// open writes the transaction with which an epoch begins: empty, durable before any client is let in, and newer than
// anything that the former primary may have told of and this node does not have. A ZEO client does not use a server
// whose last transaction is older than its cache; with this one it can, and hears that the end of its cache is of
// another history.
func (r *replica) open(ctx context.Context) error {
	id := r.keep.State()
	if err := r.writeEmpty(ctx, r.heard(), openingText(id.Epoch().Number, r.status.base.Name)); err != nil {
		return fmt.Errorf("beginning epoch %d: %w", id.Epoch().Number, err)
	}
	return nil
}

// writeEmpty commits a transaction without records that is later than another one, as far as that is to be believed.
func (r *replica) writeEmpty(ctx context.Context, after zodb.Tid, description []byte) error {
	if err := r.st.SkipTids(ctx, r.gap(after)); err != nil {
		return fmt.Errorf("skipping tids: %w", err)
	}
	txn, err := r.st.Begin(ctx, &zodb.TxnMeta{Description: description})
	if err != nil {
		return fmt.Errorf("an empty transaction: %w", err)
	}
	if _, err := txn.Finish(ctx, nil); err != nil {
		return fmt.Errorf("an empty transaction: %w", errors.Join(err, txn.Abort()))
	}
	return nil
}

// openingText is the description of the first transaction of an epoch.
func openingText(epoch uint64, name string) []byte {
	return fmt.Appendf(nil, "zrsd: epoch %d begins, the primary is %.200s", epoch, name)
}

// openAgain writes that transaction at a start where a crash came before it. The first epoch of a storage has none: it
// follows nobody.
func (r *replica) openAgain(ctx context.Context) error {
	id := r.keep.State()
	if id == nil || r.fenced() || len(id.Epochs) < 2 || r.st.LastTid() > id.Epoch().Begin {
		return nil
	}
	if err := r.open(ctx); err != nil {
		return &StartError{err}
	}
	return nil
}

// heard is the last transaction that the former primary has told of.
func (r *replica) heard() zodb.Tid {
	before := r.sec.Status()
	last := before.PrimaryLast
	for _, m := range before.Roster {
		last = max(last, m.Durable)
	}
	return last
}

// gap is how many tids to leave out behind the last transaction, to be later than one that was heard of.
func (r *replica) gap(heard zodb.Tid) uint64 {
	last := r.st.LastTid()
	return uint64(min(max(last, heard), r.believed())-last) + tidGap
}

// believed is the highest tid that others may have told.
func (r *replica) believed() zodb.Tid {
	most := r.st.LastTid() + zodb.Tid(heardAhead/time.Second)*tidGap
	now, err := zodb.TidFromTime(time.Now().Add(heardAhead))
	if err != nil {
		return most
	}
	return max(now, most)
}
