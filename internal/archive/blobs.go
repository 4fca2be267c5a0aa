package archive

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// pendingBlobs are blobs that were stored, and that no segment refers to yet.
type pendingBlobs map[blobRecord]pendingBlob

type pendingBlob struct {
	BlobEntry
	at time.Time
}

// storeBlobs has the blobs of these records in the archive, and returns their entries, one for each.
func (w *Writer) storeBlobs(ctx context.Context, records []blobRecord) ([]BlobEntry, error) {
	list := make([]BlobEntry, 0, len(records))
	at := make(map[blobRecord]int, len(records))
	var todo []blobRecord
	for _, r := range records {
		if _, again := at[r]; again {
			continue
		}
		at[r] = len(list)
		e, is := w.known[r]
		if p, done := w.pending[r]; !is && done && w.opt.Now().Sub(p.at) < blobAge {
			e, is = p.BlobEntry, true
		}
		if !is {
			todo = append(todo, r)
		}
		list = append(list, e)
	}
	var mu sync.Mutex
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(blobsAtOnce)
	for _, r := range todo {
		g.Go(func() error {
			e, err := w.storeBlob(inner, r)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			list[at[r]] = e
			w.pending[r] = pendingBlob{e, w.opt.Now()}
			return nil
		})
	}
	return list, g.Wait()
}

// storeBlob stores one blob. One that the node does not have is noted as such.
func (w *Writer) storeBlob(ctx context.Context, r blobRecord) (BlobEntry, error) {
	e := BlobEntry{Oid: r.Oid, Tid: r.Tid, Size: NoBlob}
	b, err := w.src.Blob(ctx, r.Oid, r.Tid)
	var none *zodb.POSKeyError
	if errors.As(err, &none) {
		w.opt.Logger.Warn("a blob is missing here, and in the archive, too", "oid", r.Oid, "tid", r.Tid,
			"warning", warning.Damaged)
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("open the blob of oid %v tid %v for the archive: %w", r.Oid, r.Tid, err)
	}
	defer b.Close() //nolint:errcheck // only read
	e.Size, e.Name = b.Size(), randomName()
	content := b
	if w.archive.packer.encrypts() {
		e.Age = true
		if e.Digest, content, err = w.archive.packer.encrypted(b); err != nil {
			return e, fmt.Errorf("encrypt the blob of oid %v tid %v: %w", r.Oid, r.Tid, err)
		}
		defer content.Close() //nolint:errcheck // a temporary file
	}
	o, err := w.archive.store.Put(ctx, e.name(), content)
	if !e.Age {
		e.Digest = o.SHA256
	}
	w.storedBlob(content.Size(), err)
	return e, err
}

// loadKnown notes the blobs of the generations before, back to one that is complete, which the newest path keeps from
// being deleted, for a generation that has still to become complete.
func (w *Writer) loadKnown(ctx context.Context, before uint64) error {
	w.known = nil
	if w.path == nil {
		return nil
	}
	if w.path.Generation == before {
		if done, err := w.path.complete(ctx); done || err != nil {
			return err
		}
	}
	numbers, err := w.archive.numbers(ctx)
	if err != nil {
		return err
	}
	w.known = map[blobRecord]BlobEntry{}
	for i := len(numbers) - 1; i >= 0; i-- {
		if numbers[i] >= before {
			continue
		}
		done, err := w.loadKnownOf(ctx, numbers[i])
		if done || err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) loadKnownOf(ctx context.Context, n uint64) (complete bool, err error) {
	m, err := w.archive.manifest(ctx, n)
	if err != nil {
		return false, err
	}
	p, err := w.archive.path(ctx, m)
	if err != nil {
		return false, err
	}
	for i := range p.Len() {
		if err := p.ahead(ctx, i); err != nil {
			return false, err
		}
		h, err := p.Header(ctx, i)
		if err != nil {
			return false, err
		}
		list, err := w.archive.blobsOf(ctx, h)
		if err != nil {
			return false, err
		}
		for _, e := range list {
			if r := (blobRecord{e.Oid, e.Tid}); e.Size != NoBlob {
				w.known[r] = e
			}
		}
	}
	return p.complete(ctx)
}
