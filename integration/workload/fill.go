package workload

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/zrsd/zrsd/blobstore"
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
	f.rng = rand.New(f.random)
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
	rng     *rand.Rand
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
		size := f.set.BlobMin + f.rng.Int64N(f.set.BlobMax-f.set.BlobMin+1)
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

// Open opens or creates the storage at data with the blob directory blobs, or without one when blobs is empty. Closing
// the storage closes both.
func Open(ctx context.Context, data, blobs string) (*filestorage.Storage, error) {
	if blobs == "" {
		return filestorage.Open(ctx, data, filestorage.Options{})
	}
	store, err := blobstore.Open(blobs, blobstore.Options{})
	if err != nil {
		return nil, err
	}
	storage, err := filestorage.Open(ctx, data, filestorage.Options{Blobs: store})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return storage, nil
}

// FillTwice creates the root and set's objects, all of which hang on it, in an empty storage, and then writes each of
// them again, in the same transactions: a pack removes half of that, and finds no other garbage. It returns when all is
// durable. set must not ask for blobs.
func FillTwice(ctx context.Context, storage *filestorage.Storage, set Set, seed uint64) error {
	f := &filler{storage: storage, set: set, random: source(seed)}
	f.rng = rand.New(f.random)
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

const (
	mappingClass = "cpersistent.mapping\nPersistentMapping\n"
	blobClass    = "cZODB.blob\nBlob\n"
	proto        = "\x80\x03"
)

// blobRecord is what ZODB writes for a blob: the class, and a state of None.
var blobRecord = []byte(proto + blobClass + "q\x00." + proto + "N.")

// mappingRecord pickles a PersistentMapping with one key whose value is given as pickle opcodes.
func mappingRecord(key string, value []byte) []byte {
	rec := []byte(proto + mappingClass + "q\x00." + proto + "}" + text("data") + "}" + text(key))
	rec = append(rec, value...)
	return append(rec, "ss."...)
}

// mappingOverhead is how much larger than its content a record of contentRecord is.
var mappingOverhead = len(contentRecord(nil))

// contentRecord pickles a PersistentMapping that holds content as bytes.
func contentRecord(content []byte) []byte {
	value := append([]byte("B"), binary.LittleEndian.AppendUint32(nil, uint32(len(content)))...)
	return mappingRecord("content", append(value, content...))
}

// rootRecord pickles the root object: a PersistentMapping with a list of references.
func rootRecord(mappings, blobs []zodb.Oid) []byte {
	value := []byte("](")
	for _, oid := range mappings {
		value = append(value, reference(oid, mappingClass)...)
	}
	for _, oid := range blobs {
		value = append(value, reference(oid, blobClass)...)
	}
	return mappingRecord("objects", append(value, 'e'))
}

// reference is a persistent reference as ZODB writes it: the oid with the class, as a persistent id.
func reference(oid zodb.Oid, class string) []byte {
	id := oid.Bytes()
	return append(append([]byte("(C\x08"), id[:]...), class+"tQ"...)
}

// text pickles a short string.
func text(s string) string {
	return string(binary.LittleEndian.AppendUint32([]byte("X"), uint32(len(s)))) + s
}
