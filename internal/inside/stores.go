package inside

import (
	"context"
	"errors"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// FileStore is a storage that is open for writing, by nobody else.
type FileStore struct{ St *filestorage.Storage }

// Load is that of Store.
func (s FileStore) Load(_ context.Context, oid zodb.Oid) ([]byte, zodb.Tid, error) {
	return s.St.Load(oid)
}

// Commit is that of Store. Its sync points are those of a commit of the storage.
func (s FileStore) Commit(ctx context.Context, meta *zodb.TxnMeta, changes []Change) (zodb.Tid, error) {
	txn, err := s.St.Begin(ctx, meta)
	if err != nil {
		return 0, err
	}
	for _, c := range changes {
		if err := txn.Store(c.Oid, c.Serial, c.Data); err != nil {
			return 0, errors.Join(err, txn.Abort())
		}
	}
	tid, err := txn.Finish(ctx, nil)
	if err != nil {
		return 0, errors.Join(err, txn.Abort()) // else the storage could not be closed
	}
	return tid, nil
}

// ServerStore is a ZEO server: the primary commits, sends invalidations to its clients, and replicates.
type ServerStore struct{ Conn *client.Conn }

// Load is that of Store.
func (s ServerStore) Load(ctx context.Context, oid zodb.Oid) ([]byte, zodb.Tid, error) {
	rev, err := s.Conn.Load(ctx, oid)
	if err != nil {
		return nil, 0, err
	}
	return rev.Data, rev.Tid, nil
}

// Commit is that of Store.
func (s ServerStore) Commit(ctx context.Context, meta *zodb.TxnMeta, changes []Change) (zodb.Tid, error) {
	txn, err := s.Conn.Begin(ctx, meta)
	if err != nil {
		return 0, err
	}
	for _, c := range changes {
		if err := txn.Store(ctx, c.Oid, c.Serial, c.Data); err != nil {
			return 0, err
		}
	}
	tid, err := txn.Commit(ctx)
	var conflict *zodb.ConflictError
	if errors.As(err, &conflict) {
		err = errors.Join(err, txn.Abort(ctx))
	}
	return tid, err
}
