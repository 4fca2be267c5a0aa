package workload

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// A Shape says what an Owner's database looks like.
type Shape struct {
	Objects    int // plain objects, at least one
	Blobs      int
	RecordSize int // at most, in bytes
	BlobSize   int64
}

// An Owner is an application that has a storage open and changes objects in it. For one goroutine.
type Owner struct {
	storage  *filestorage.Storage
	shape    Shape
	random   *rand.ChaCha8
	rng      *rand.Rand
	mappings []zodb.Oid
	blobs    []zodb.Oid
	serials  map[zodb.Oid]zodb.Tid
}

// NewOwner creates the root and all objects of shape in an empty storage, in one transaction. seed fixes all content.
func NewOwner(ctx context.Context, storage *filestorage.Storage, shape Shape, seed uint64) (*Owner, error) {
	o := &Owner{storage: storage, shape: shape, random: source(seed), serials: map[zodb.Oid]zodb.Tid{}}
	o.rng = rand.New(o.random)
	for i := range shape.Objects + shape.Blobs {
		oid := zodb.Oid(i + 1)
		if i < shape.Objects {
			o.mappings = append(o.mappings, oid)
		} else {
			o.blobs = append(o.blobs, oid)
		}
	}
	_, err := o.transaction(ctx, "create everything", func(t *filestorage.Txn) error {
		return o.create(t)
	})
	return o, err
}

func (o *Owner) create(t *filestorage.Txn) error {
	if err := t.Store(0, 0, rootRecord(o.mappings, o.blobs)); err != nil {
		return err
	}
	for _, oid := range o.mappings {
		if err := o.change(t, oid); err != nil {
			return err
		}
	}
	for _, oid := range o.blobs {
		if err := o.changeBlob(t, oid); err != nil {
			return err
		}
	}
	return nil
}

// Commit changes one to three objects, now and then a blob, and returns when that is durable and visible.
func (o *Owner) Commit(ctx context.Context) (zodb.Tid, error) {
	return o.transaction(ctx, "change something", func(t *filestorage.Txn) error {
		first := o.rng.IntN(len(o.mappings))
		for i := range min(1+o.rng.IntN(3), len(o.mappings)) { // distinct ones: ZODB dislikes an oid twice
			if err := o.change(t, o.mappings[(first+i)%len(o.mappings)]); err != nil {
				return err
			}
		}
		if len(o.blobs) > 0 && o.rng.IntN(5) == 0 {
			return o.changeBlob(t, o.blobs[o.rng.IntN(len(o.blobs))])
		}
		return nil
	})
}

func (o *Owner) transaction(ctx context.Context, what string, fill func(*filestorage.Txn) error) (zodb.Tid, error) {
	t, err := o.storage.Begin(ctx, &zodb.TxnMeta{User: []byte(" owner"), Description: []byte(what)})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	defer t.Abort() //nolint:errcheck // silent after finish; before it, the first error is the one that counts
	if err := fill(t); err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	tid, err := t.Finish(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return tid, nil
}

func (o *Owner) change(t *filestorage.Txn, oid zodb.Oid) error {
	content := make([]byte, o.rng.IntN(o.shape.RecordSize+1))
	o.random.Read(content) //nolint:errcheck // never fails
	serial := o.serials[oid]
	o.serials[oid] = t.Tid()
	return t.Store(oid, serial, contentRecord(content))
}

func (o *Owner) changeBlob(t *filestorage.Txn, oid zodb.Oid) error {
	serial := o.serials[oid]
	o.serials[oid] = t.Tid()
	size := o.rng.Int64N(o.shape.BlobSize + 1)
	return t.StoreBlob(oid, serial, blobRecord, io.LimitReader(o.random, size))
}

func source(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(key)
}
