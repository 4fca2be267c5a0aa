package filestorage

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A batcher is a blob directory that can make many blobs durable at a time.
type batcher interface {
	// Batch is called before any blob of the batch is staged. Nil: it cannot.
	Batch() (zodb.BlobBatch, error)
}

// manyBlobs are blobs of an appended group that are made durable together.
type manyBlobs struct {
	batch zodb.BlobBatch // nil: each has syncs of its own
	blobs []zodb.StagedBlob
}

// sync makes their contents durable.
func (m *manyBlobs) sync() error {
	if len(m.blobs) == 0 {
		return nil
	}
	return m.batch.Sync()
}

// publish gives them their final names, durably.
func (m *manyBlobs) publish() error {
	if err := eachBlob(m.blobs, zodb.StagedBlob.Publish); err != nil {
		return err
	}
	return m.sync()
}

func (m *manyBlobs) close() {
	if m.batch != nil {
		_ = m.batch.Close() // only read
	}
	*m = manyBlobs{}
}

// How many blobs a group has that are made durable together, and from how many on they are.
const (
	togetherBlobs = 1024
	togetherFrom  = 16
	// togetherWeight is what one of them weighs: it has neither an open file nor anything in memory.
	togetherWeight = appendBytes / togetherBlobs
)

// together begins a batch for the group in progress, where the directory can.
func (a *Appender) together() error {
	b, ok := a.s.blobs.(batcher)
	if !ok || a.opt.Blobs == nil {
		return nil
	}
	var err error
	a.g.many.batch, err = b.Batch()
	return err
}

// full reports whether the group in progress has as much as it may have.
func (a *Appender) full() bool {
	most, g := a.most, a.g
	blobs := len(a.blobs)
	if g.many.batch != nil && most.blobs == maxOpenBlobs {
		most.blobs = togetherBlobs
	}
	return g.weight >= most.weight || g.n >= most.txns || blobs >= most.blobs
}

// weigh returns what a group weighs with so many bytes and records, and the blobs that it has so far.
func (a *Appender) weigh(size int64, records int) int64 {
	if a.g.many.batch != nil {
		return unsyncedWeight(size, records, 0) + togetherWeight*int64(len(a.blobs))
	}
	return unsyncedWeight(size, records, len(a.blobs))
}

// stageBlobs gets the blobs of the group. Of those that have syncs of their own only the last ones are left open.
func (a *Appender) stageBlobs(ctx context.Context) error {
	for todo := a.blobs; len(todo) > 0; {
		n := min(len(todo), maxOpenBlobs)
		staged, err := a.opt.Blobs(ctx, todo[:n])
		todo = todo[n:]
		alone, added := a.g.take(staged, a.most.together)
		if err = errors.Join(err, added); err == nil && len(todo) > 0 {
			err = syncBlobs(alone)
		}
		if err != nil {
			return fmt.Errorf("blobs of the transactions up to %v: %w", a.g.last, err)
		}
	}
	return nil
}

// take makes staged blobs those of the group, and returns those that have syncs of their own.
func (g *group) take(staged []zodb.StagedBlob, from int) (alone []zodb.StagedBlob, err error) {
	for _, b := range staged {
		added := false
		if g.many.batch != nil && len(staged)+len(g.many.blobs) >= from && err == nil {
			added, err = g.many.batch.Add(b)
		}
		if added {
			g.many.blobs = append(g.many.blobs, b)
		} else {
			alone = append(alone, b)
		}
	}
	g.blobs = append(g.blobs, alone...)
	return alone, err
}

// discardBlobs removes the blobs of the group in progress.
func (a *Appender) discardBlobs() error {
	err := errors.Join(eachBlob(a.g.blobs, zodb.StagedBlob.Discard), eachBlob(a.g.many.blobs, zodb.StagedBlob.Discard))
	a.g.many.close()
	return err
}
