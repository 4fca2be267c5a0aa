package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/zrsd/zrsd/filestorage"
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

// maxValue bounds the records that are looked at: those of a drill are shorter.
const maxValue = 1 << 16

// ReadFile returns the transactions of drills in a Data.fs, which no process has open, as far as they wrote any of the
// objects. Others are left out.
func ReadFile(ctx context.Context, path string, objects map[zodb.Oid]bool) ([]consistency.Txn, error) {
	txns, err := read(ctx, path, func(r *zodb.Record) (string, bool, error) {
		if !objects[r.Oid] || r.Size == zodb.NoData {
			return "", false, nil
		}
		data, err := io.ReadAll(io.LimitReader(r.Data, maxValue))
		if err != nil {
			return "", false, err
		}
		value, err := valueOf(r.Oid, data)
		return value, true, err
	})
	return slices.DeleteFunc(txns, func(txn consistency.Txn) bool { return len(txn.Writes) == 0 }), err
}

// Tids returns those of all transactions in a Data.fs, whoever wrote them.
func Tids(ctx context.Context, path string) ([]zodb.Tid, error) {
	txns, err := read(ctx, path, func(*zodb.Record) (string, bool, error) { return "", false, nil })
	tids := make([]zodb.Tid, 0, len(txns))
	for _, txn := range txns {
		tids = append(tids, txn.Tid)
	}
	return tids, err
}

func read(ctx context.Context, path string, value consistency.ValueFunc) (_ []consistency.Txn, err error) {
	st, err := filestorage.Open(ctx, path, filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		return nil, fmt.Errorf("reading what the drill has left in %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	txns, err := consistency.ReadFile(ctx, st, value)
	if err != nil {
		return nil, fmt.Errorf("reading what the drill has left in %s: %w", path, err)
	}
	return txns, nil
}
