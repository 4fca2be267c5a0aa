package workload

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/drill/history"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// countEvery is how many transactions there are for one that counts, on average.
const countEvery = 4

// A writer commits transactions.
type writer struct {
	actor
	written int // values
}

func newWriter(l *Load, name string, stream uint64) *writer {
	return &writer{actor: newActor(l, name, stream, l.Targets, false)}
}

// transaction changes two of the objects, based on what they are, and counts now and then. The error says that the
// connection is of no use any more.
func (w *writer) transaction(ctx context.Context) error {
	oids := make([]zodb.Oid, 0, 3)
	for _, i := range w.dice.Perm(len(w.Objects))[:min(2, len(w.Objects))] {
		oids = append(oids, w.Objects[i])
	}
	if w.dice.IntN(countEvery) == 0 {
		oids = append(oids, w.Counter)
	}
	read := map[zodb.Oid]history.Seen{}
	for _, oid := range oids {
		seen, err := w.current(ctx, oid)
		if err != nil {
			return err
		}
		read[oid] = seen
	}
	w.attempt(ctx, oids, read)
	return w.conn.Err()
}

// attempt commits new values of objects and records what became of that.
func (w *writer) attempt(ctx context.Context, oids []zodb.Oid, read map[zodb.Oid]history.Seen) *history.Op {
	op := w.begin(history.Commit)
	op.Wrote = map[zodb.Oid]string{}
	for _, oid := range oids {
		w.written++
		op.Read[oid] = read[oid]
		op.Wrote[oid] = fmt.Sprintf("%s-%d", w.name, w.written)
		if oid == w.Counter {
			op.Wrote[oid] = history.Count(history.Counted(read[oid].Value)+1, op.Wrote[oid])
		}
	}
	ctx, cancel := w.limited(ctx)
	defer cancel()
	tid, err := w.commit(ctx, op)
	var unknown *client.UnknownError
	switch {
	case err == nil:
		op.Tid = tid
	case errors.As(err, &unknown):
		op.Kind = history.Unknown
	default:
		op.Kind = history.Refused
	}
	w.end(op)
	return op
}

// commit is one transaction from its begin to its end.
func (w *writer) commit(ctx context.Context, op *history.Op) (zodb.Tid, error) {
	txn, err := w.conn.Begin(ctx, &zodb.TxnMeta{User: []byte("drill"), Description: []byte(w.name)})
	if err != nil {
		return 0, err
	}
	for oid, value := range op.Wrote {
		data, err := record(value)
		if err != nil {
			return 0, err
		}
		if err := txn.Store(ctx, oid, op.Read[oid].Serial, data); err != nil {
			return 0, err
		}
	}
	tid, err := txn.Commit(ctx)
	if err != nil && w.conn.Err() == nil {
		if abort := txn.Abort(ctx); abort != nil {
			return 0, errors.Join(err, abort)
		}
	}
	return tid, err
}
