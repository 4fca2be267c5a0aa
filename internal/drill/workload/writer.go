package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// countEvery is how many transactions there are for one that counts, on average.
const countEvery = 4

// A writer commits transactions.
type writer struct {
	actor
	written   int      // values
	committed int      // transactions
	tid       zodb.Tid // that they get; 0: the server chooses
	last      error    // why the last one was not committed
}

func newWriter(l *Load, name string, stream uint64) *writer {
	return &writer{actor: newActor(l, name, stream, l.Targets, false)}
}

// aMinute is how much later a tid is that is tried after another one.
const aMinute zodb.Tid = 1 << 32

// CommitAt commits a transaction with a tid of the time at, as soon as some target takes it, or of some minutes later.
func (l *Load) CommitAt(ctx context.Context, at time.Time) error {
	tid, err := zodb.TidFromTime(at)
	if err != nil {
		return err
	}
	w := newWriter(l, "at "+tid.String(), uint64(tid))
	w.tid = tid
	return w.once(ctx, func(ctx context.Context) error {
		err := w.transaction(ctx)
		w.tid += aMinute // which was not taken, or nobody knows
		return err
	})
}

// once tries until one transaction is committed.
func (w *writer) once(ctx context.Context, try func(ctx context.Context) error) error {
	for {
		err := w.connect(ctx)
		if err == nil {
			err = errors.Join(try(ctx), w.last)
			w.conn.Close()
		}
		if w.committed > 0 {
			return nil
		}
		if !pause.For(ctx, again) {
			return fmt.Errorf("no node has taken a transaction of client %s: %w; the last one did not because: %w",
				w.name, context.Cause(ctx), err)
		}
	}
}

// transaction changes two of the objects, based on what they are, and counts now and then. The error says that the
// connection is of no use any more.
func (w *writer) transaction(ctx context.Context) error {
	oids := make([]zodb.Oid, 0, 3)
	for _, i := range w.rng.Perm(len(w.Objects))[:min(2, len(w.Objects))] {
		oids = append(oids, w.Objects[i])
	}
	if w.rng.IntN(countEvery) == 0 {
		oids = append(oids, w.Counter)
	}
	read := map[zodb.Oid]consistency.Seen{}
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
func (w *writer) attempt(ctx context.Context, oids []zodb.Oid, read map[zodb.Oid]consistency.Seen) {
	op := w.begin(consistency.Commit)
	op.Wrote = map[zodb.Oid]string{}
	for _, oid := range oids {
		w.written++
		op.Read[oid] = read[oid]
		op.Wrote[oid] = fmt.Sprintf("%s-%d", w.name, w.written)
		if oid == w.Counter {
			op.Wrote[oid] = consistency.Count(consistency.Counted(read[oid].Value)+1, op.Wrote[oid])
			op.Adds = map[zodb.Oid]int64{oid: 1}
		}
	}
	ctx, cancel := w.limited(ctx)
	defer cancel()
	tid, err := w.commit(ctx, op)
	w.last = err
	var unknown *client.UnknownError
	switch {
	case err == nil:
		op.Tid = tid
		w.committed++
	case errors.As(err, &unknown):
		op.Kind = consistency.Unknown
	default:
		op.Kind = consistency.Refused
	}
	w.end(op)
}

// commit is one transaction from its begin to its end.
func (w *writer) commit(ctx context.Context, op *consistency.Op) (zodb.Tid, error) {
	txn, err := w.conn.Begin(ctx, &zodb.TxnMeta{Tid: w.tid, User: []byte("drill"), Description: []byte(w.name)})
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
