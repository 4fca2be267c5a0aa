package restore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/drill"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zodb"
)

// A copied storage is one that was restored.
type copied struct {
	*Options
	dir    string
	moment *archive.Moment
	one    *drill.Restored
	rng    *rand.Rand
	sample []object
}

// An object of the file, as clients must see it.
type object struct {
	oid  zodb.Oid
	tid  zodb.Tid
	data [sha256.Size]byte
	blob int64 // size; -1: it has none
}

// maxSample is how many objects clients read.
const maxSample = 1000

func (c *copied) open(ctx context.Context) (*filestorage.Storage, error) {
	blobs, err := blobstore.Open(filepath.Join(c.dir, "blobs"), blobstore.Options{})
	if err != nil {
		return nil, err
	}
	return filestorage.Open(ctx, filepath.Join(c.dir, "Data.fs"),
		filestorage.Options{ReadOnly: true, MustExist: true, Blobs: blobs})
}

// prove compares the history of the copy with what the writer of the archive, and the node, say of theirs.
func (c *copied) prove(ctx context.Context) (err error) {
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if st.LastTid() != c.moment.Tid {
		return fmt.Errorf("the file ends with transaction %v, want %v", st.LastTid(), c.moment.Tid)
	}
	chain := hashchain.Keep(records{st}, hashchain.Options{})
	defer chain.Close()
	for s := chain.Status(); !s.Known || s.Behind > 0; s = chain.Status() {
		if !pause.For(ctx, 10*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	c.one.Transactions = chain.Status().Head.Count
	there, err := c.moment.HistoryThere(ctx)
	if err != nil {
		return err
	}
	if there.Count > 0 {
		at, err := chain.At(ctx, there.Base, c.moment.Tid)
		if err != nil {
			return err
		}
		if archive.Digest(at.Value) != there.Value || at.Count != there.Count {
			return fmt.Errorf("the history of %d transactions up to %v is not the one that was archived: %d there",
				at.Count, c.moment.Tid, there.Count)
		}
		c.one.Writer = true
	}
	if err := c.compare(ctx, chain); err != nil {
		return err
	}
	return c.draw(ctx, st)
}

// compare compares with the node. What that cannot tell any more, after a pack, is no failure, and is said.
func (c *copied) compare(ctx context.Context, chain hashchain.Chain) error {
	if c.Node == nil {
		return nil
	}
	d, err := hashchain.FirstDifference(ctx, chain, c.Node)
	var unknown *hashchain.UnknownError
	switch {
	case errors.As(err, &unknown):
		c.one.Node = "cannot tell: " + unknown.Error()
	case err != nil:
		return fmt.Errorf("compare with the node: %w", err)
	case d.First != 0:
		return fmt.Errorf("the node has another history from transaction %v on", d.First)
	case d.Common.Tid < c.moment.Tid:
		return fmt.Errorf("the node has less: up to %v", d.Common.Tid)
	default:
		c.one.Node = fmt.Sprintf("the same %d transactions", d.Common.Count)
	}
	return nil
}

// draw chooses what clients read, and reads it from the file.
func (c *copied) draw(ctx context.Context, st *filestorage.Storage) error {
	it, err := st.IterateRecords(0, false)
	if err != nil {
		return err
	}
	defer it.Close() //nolint:errcheck // only read
	var oids []zodb.Oid
	seen := 0
	for txn, err := range zodb.Transactions(ctx, it) {
		if err != nil {
			return err
		}
		for rec, err := range zodb.Records(txn) {
			if err != nil {
				return err
			}
			if seen++; len(oids) < maxSample {
				oids = append(oids, rec.Oid)
			} else if at := c.rng.IntN(seen); at < maxSample {
				oids[at] = rec.Oid
			}
		}
	}
	for _, oid := range oids {
		data, tid, err := st.Load(oid)
		if none := (*zodb.POSKeyError)(nil); errors.As(err, &none) {
			continue // it was deleted
		}
		if err != nil {
			return err
		}
		o := object{oid, tid, sha256.Sum256(data), -1}
		if zodb.IsBlobRecord(data) {
			if o.blob, err = blobSize(st, oid, tid); err != nil {
				return err
			}
		}
		c.sample = append(c.sample, o)
	}
	return nil
}

// blobSize is that of a blob; -1: there is none, because no node had it when it was archived.
func blobSize(st *filestorage.Storage, oid zodb.Oid, tid zodb.Tid) (int64, error) {
	f, err := st.OpenBlob(oid, tid)
	if none := (*zodb.POSKeyError)(nil); errors.As(err, &none) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// records is a storage without its blobs.
type records struct{ *filestorage.Storage }

// Iterate is hashchain.Source.
func (r records) Iterate(after zodb.Tid, follow bool) (zodb.Iterator, error) {
	return r.IterateRecords(after, follow)
}
