package workload

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// ReadServer returns what the objects were given up to now, as a server tells it: as ReadFile does, where the files
// cannot be reached. A commit of which nobody knows may still be done afterwards; it is not there then.
func (l *Load) ReadServer(ctx context.Context, addr string) ([]consistency.Txn, error) {
	conn, err := client.Dial(ctx, []string{addr}, client.Options{ReadOnly: true, Timeout: l.Timeout})
	if err != nil {
		return nil, fmt.Errorf("reading what the drill has left: %w", err)
	}
	defer conn.Close()
	last, err := conn.LastTransaction(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what the drill has left: %w", err)
	}
	var txns []consistency.Txn
	for _, oid := range l.all() {
		for before := last + 1; ; {
			revision, err := conn.LoadBefore(ctx, oid, before)
			var missing *zodb.POSKeyError
			if errors.As(err, &missing) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("reading what the drill has left: %w", err)
			}
			value, err := valueOf(oid, revision.Data)
			if err != nil {
				return nil, err
			}
			txns = append(txns, consistency.Txn{Tid: revision.Tid, Writes: map[zodb.Oid]string{oid: value}})
			before = revision.Tid
		}
	}
	return txns, nil
}

// NewObjects takes oids that the storage has never given away, for the objects and the counter.
func (l *Load) NewObjects(ctx context.Context, n int) error {
	w := newWriter(l, "oids", 0)
	if err := w.connect(ctx); err != nil {
		return fmt.Errorf("asking for oids: %w", err)
	}
	defer w.conn.Close()
	oids, err := w.conn.NewOids(ctx)
	if err != nil {
		return fmt.Errorf("asking for oids: %w", err)
	}
	if len(oids) <= n {
		return fmt.Errorf("asking for oids: the server gave %d, and %d are needed", len(oids), n+1)
	}
	l.Counter, l.Objects = oids[0], oids[1:n+1]
	return nil
}
