package workload

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// FillTwice creates the root and set's objects, all of which hang on it, in an empty storage, and then writes each of
// them again, in the same transactions: a pack removes half of that, and finds no other garbage. It returns when all is
// durable. set must not ask for blobs.
func FillTwice(ctx context.Context, storage *filestorage.Storage, set Set, seed uint64) error {
	f := &filler{storage: storage, set: set, random: source(seed)}
	f.dice = rand.New(f.random)
	oids := make([]zodb.Oid, set.Transactions*set.Records)
	for i := range oids {
		oids[i] = zodb.Oid(i + 1)
	}
	commit, err := f.commit(ctx, func(t *filestorage.Txn) error { return t.Store(0, 0, rootRecord(oids, nil)) })
	serials := make([]zodb.Tid, len(oids))
	for i := range 2 * set.Transactions {
		if err != nil {
			break
		}
		at := i % set.Transactions * set.Records
		commit, err = f.commit(ctx, func(t *filestorage.Txn) error {
			return f.again(t, oids[at:at+set.Records], serials[at:at+set.Records])
		})
	}
	if err != nil {
		return fmt.Errorf("filling %s: %w", storage.Path(), err)
	}
	return durable(ctx, commit)
}

// again stores a new revision of each of the objects and notes it as their serial.
func (f *filler) again(t *filestorage.Txn, oids []zodb.Oid, serials []zodb.Tid) error {
	for i, oid := range oids {
		if err := t.Store(oid, serials[i], f.content()); err != nil {
			return err
		}
		serials[i] = t.Tid()
	}
	return nil
}
