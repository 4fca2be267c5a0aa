package workload

import (
	"context"
	"errors"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// A reader looks at the objects at one node.
type reader struct{ actor }

// look reads one object as it is, and all of them as of the last transaction.
func (r *reader) look(ctx context.Context) error {
	all := r.all()
	if _, err := r.current(ctx, all[r.rng.IntN(len(all))]); err != nil {
		return err
	}
	return r.snapshot(ctx, all)
}

// current reads the current revision of an object, and records it.
func (a *actor) current(ctx context.Context, oid zodb.Oid) (consistency.Seen, error) {
	ctx, cancel := a.limited(ctx)
	defer cancel()
	op := a.begin(consistency.Read)
	seen, err := a.seen(oid, func() (*client.Revision, error) { return a.conn.Load(ctx, oid) })
	if err != nil {
		return seen, err
	}
	op.Read[oid] = seen
	a.end(op)
	return seen, nil
}

// snapshot reads objects as of the last transaction, and records that.
func (r *reader) snapshot(ctx context.Context, oids []zodb.Oid) error {
	ctx, cancel := r.limited(ctx)
	defer cancel()
	op := r.begin(consistency.Snapshot)
	tid, err := r.conn.LastTransaction(ctx)
	if err != nil {
		return err
	}
	op.Tid = tid
	for _, oid := range oids {
		load := func() (*client.Revision, error) { return r.conn.LoadBefore(ctx, oid, tid+1) }
		if op.Read[oid], err = r.seen(oid, load); err != nil {
			return err
		}
	}
	r.end(op)
	return nil
}

// seen is what a load found; an object that is not there is no error.
func (a *actor) seen(oid zodb.Oid, load func() (*client.Revision, error)) (consistency.Seen, error) {
	revision, err := load()
	var missing *zodb.POSKeyError
	if errors.As(err, &missing) {
		return consistency.Seen{}, nil
	}
	if err != nil {
		return consistency.Seen{}, err
	}
	value, err := valueOf(oid, revision.Data)
	return consistency.Seen{Value: value, Serial: revision.Tid}, err
}
