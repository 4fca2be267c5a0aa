package workload

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// A Set is a history to measure with. Every record belongs to a new object.
type Set struct {
	Transactions int
	Records      int // per transaction
	RecordSize   int // of each record in bytes; smaller than a pickle's own parts: as small as those
	BlobMin      int64
	BlobMax      int64 // above 0: every record is a blob's, with content of BlobMin to BlobMax bytes
}

// Fill appends set to storage and returns when all of it is durable. Only the last transaction is waited for: the
// storage bounds what is on its way.
func Fill(ctx context.Context, storage *filestorage.Storage, set Set, seed uint64) error {
	f := &filler{storage: storage, set: set, random: source(seed)}
	f.dice = rand.New(f.random)
	var last *filestorage.Commit
	for range set.Transactions {
		commit, err := f.transaction(ctx)
		if err != nil {
			return fmt.Errorf("filling %s: %w", storage.Path(), err)
		}
		last = commit
	}
	if last == nil {
		return nil
	}
	return durable(ctx, last)
}

// durable waits until the commit is.
func durable(ctx context.Context, c *filestorage.Commit) error {
	select {
	case <-c.Done():
		return c.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type filler struct {
	storage *filestorage.Storage
	set     Set
	random  *rand.ChaCha8
	dice    *rand.Rand
}

func (f *filler) transaction(ctx context.Context) (*filestorage.Commit, error) {
	return f.commit(ctx, func(t *filestorage.Txn) error {
		for range f.set.Records {
			if err := f.record(t); err != nil {
				return err
			}
		}
		return nil
	})
}

// commit enqueues a transaction that fill has filled.
func (f *filler) commit(ctx context.Context, fill func(t *filestorage.Txn) error) (*filestorage.Commit, error) {
	t, err := f.storage.Begin(ctx, &zodb.TxnMeta{User: []byte(" fill")})
	if err != nil {
		return nil, err
	}
	defer t.Abort() //nolint:errcheck // silent after Enqueue; before it, the first error is the one that counts
	if err := fill(t); err != nil {
		return nil, err
	}
	return t.Enqueue(ctx)
}

func (f *filler) record(t *filestorage.Txn) error {
	oid := f.storage.NewOid()
	if f.set.BlobMax > 0 {
		size := f.set.BlobMin + f.dice.Int64N(f.set.BlobMax-f.set.BlobMin+1)
		return t.StoreBlob(oid, 0, blobRecord, io.LimitReader(f.random, size))
	}
	return t.Store(oid, 0, f.content())
}

// content is the next record of a plain object.
func (f *filler) content() []byte {
	content := make([]byte, max(0, f.set.RecordSize-mappingOverhead))
	f.random.Read(content) //nolint:errcheck // never fails
	return contentRecord(content)
}
