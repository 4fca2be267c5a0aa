package archive

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/zrsd/zrsd/zodb"
)

// ViewBlobs are the blobs of a view, as a source of a blob cache.
type ViewBlobs struct {
	View *View
	// Locate returns where in the data file the record of a revision is.
	Locate func(oid zodb.Oid, tid zodb.Tid) (int64, error)

	mu   sync.Mutex
	id   SegmentID // whose table was read last
	list []BlobEntry
}

func (b *ViewBlobs) String() string { return "archive " + b.View.archive.String() }

// Keeps reports that the archive has the blobs of what is kept of it.
func (b *ViewBlobs) Keeps() bool { return true }

// Size returns that of a blob; *zodb.POSKeyError: the archive has none.
func (b *ViewBlobs) Size(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (int64, error) {
	e, err := b.entry(ctx, oid, tid)
	return e.Size, err
}

// Fetch writes a blob into a part, verifies it, and returns its size.
func (b *ViewBlobs) Fetch(ctx context.Context, oid zodb.Oid, tid zodb.Tid, into zodb.BlobPart) (int64, error) {
	e, err := b.entry(ctx, oid, tid)
	if err != nil {
		return 0, err
	}
	return e.Size, b.View.archive.checkBlob(ctx, &e, io.NewOffsetWriter(into, 0))
}

// entry finds the blob in the table of the segment in which its record is.
func (b *ViewBlobs) entry(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (e BlobEntry, err error) {
	none := &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	pos, err := b.Locate(oid, tid)
	if err != nil {
		return e, err
	}
	first, _, _, ok := b.View.table.find(pos)
	if !ok {
		return e, none
	}
	// It is named where the beginning of its data ends.
	last, _, _, ok := b.View.table.find(pos + recHeaderLen + max(backLen, zodb.BlobHeadLen))
	if !ok {
		last = first
	}
	for i := first; i <= last; i++ {
		list, err := b.table(ctx, i)
		if err != nil {
			return e, err
		}
		for k := range list {
			if e = list[k]; e.Oid == oid && e.Tid == tid && e.Size != NoBlob {
				return e, nil
			}
		}
	}
	return BlobEntry{}, none
}

// table returns that of segment i.
func (b *ViewBlobs) table(ctx context.Context, i uint64) ([]BlobEntry, error) {
	id := b.View.path.ID(i)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.id == id {
		return b.list, nil
	}
	h, err := b.View.archive.header(ctx, id)
	if missing(err) {
		err = &LostError{id.name(), fmt.Sprintf("generation %d", b.View.Generation()), err}
	}
	if err != nil {
		return nil, err
	}
	if h.After != b.View.table.span(i).after {
		return nil, damaged(id.name(), "it is not the one that was there when this began")
	}
	list, err := b.View.archive.blobsOf(ctx, h)
	if err != nil {
		return nil, err
	}
	b.id, b.list = id, list
	return list, nil
}
