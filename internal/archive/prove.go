package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/zodb"
)

// headersAtOnce is how many headers are read at a time.
const headersAtOnce = 16

// ahead reads the headers of the next segments.
func (p *Path) ahead(ctx context.Context, i uint64) error {
	if p.headers[i] != nil || i >= p.Len() {
		return nil
	}
	n := min(headersAtOnce, p.Len()-i)
	got := make([]*Header, n)
	g, ctx := errgroup.WithContext(ctx)
	for k := range n {
		g.Go(func() (err error) {
			id := p.ID(i + k)
			if got[k], err = p.archive.header(ctx, id); missing(err) {
				err = &LostError{id.name(), fmt.Sprintf("generation %d", p.Generation), err}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for k, h := range got {
		p.remember(i+uint64(k), h)
	}
	return nil
}

// prove finds out how many of the segments of the path are the beginning of the file, byte for byte, and goes there.
// What was proved before is not read again.
func (w *Writer) prove(ctx context.Context) (n uint64, err error) {
	n, w.at, err = w.provedBefore(ctx)
	if err != nil {
		return 0, err
	}
	n, w.at, err = w.proveFrom(ctx, n, w.at)
	w.proved = n
	return n, err
}

// proveFrom goes on from a place.
func (w *Writer) proveFrom(ctx context.Context, n uint64, at Place) (uint64, Place, error) {
	for ; n < w.path.Len(); n++ {
		if err := w.path.ahead(ctx, n); err != nil {
			return n, at, err
		}
		h, err := w.path.Header(ctx, n)
		if err != nil {
			return n, at, err
		}
		if err := h.follows(&at); err != nil {
			return n, at, err
		}
		if h.To > w.file.End() {
			break
		}
		sum, err := sumOfRange(ctx, w.file, h.From, h.To)
		if err != nil {
			return n, at, fmt.Errorf("compare the data file with the archive: %w", err)
		}
		if sum != h.Range {
			break
		}
		at = h.place()
		w.proving(at.To)
	}
	return n, at, nil
}

// sumOfRange reads a part of a file.
func sumOfRange(ctx context.Context, file io.ReaderAt, from, to int64) (d Digest, err error) {
	if err := context.Cause(ctx); err != nil {
		return d, err
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, io.NewSectionReader(file, from, to-from), make([]byte, 256<<10))
	if err == nil && n < to-from {
		err = io.ErrUnexpectedEOF
	}
	return Digest(sum.Sum(nil)), err
}

// provedBefore is what was saved, as far as it is of this file and this path.
func (w *Writer) provedBefore(ctx context.Context) (uint64, Place, error) {
	s := w.opt.Saved
	number := w.file.Number()
	if s == nil || s.Restored || s.Archive != w.archive.Identity.Archive || s.Segments == 0 ||
		s.Segments > w.path.Len() ||
		number == 0 || s.File != number ||
		s.Place.To > w.file.End() {
		return 0, Place{}, nil
	}
	h, err := w.path.Header(ctx, s.Segments-1)
	if err != nil {
		return 0, Place{}, err
	}
	is, err := w.file.EndsAt(ctx, s.Place.Last, s.Place.End)
	if err != nil || !is || h.place() != s.Place {
		return 0, Place{}, err
	}
	return s.Segments, s.Place, nil
}

// wroteBefore reports whether the node knows that its file had all that ends with this segment: it has written it.
func (w *Writer) wroteBefore(head *Header) bool {
	s := w.opt.Saved
	return s != nil && !s.Restored && s.Archive == w.archive.Identity.Archive &&
		(s.Place.Chain == head.After || s.Next == head.After)
}

// A relation is what a node's history is to that of the archive.
type relation int

const (
	relationUnknown relation = iota // nobody can tell
	relationHas                     // it has all that the archive has
	relationLacks                   // it lacks the last transaction
	relationDiffers                 // it has another content
)

// relation compares the histories, by the hash chain over transactions, and else by the last one.
func (w *Writer) relation(ctx context.Context, head *Header, higher bool) (r relation, why string, err error) {
	if head.Last == 0 { // not even one whole transaction
		return relationHas, "", nil
	}
	content, err := w.src.Content(ctx, head.Last)
	if errors.Is(err, zodb.ErrNoTid) {
		return relationLacks, fmt.Sprintf("it does not have transaction %v", head.Last), nil
	}
	if err != nil {
		return relationUnknown, "", err
	}
	if head.History.Count > 0 && !w.path.External && !w.node.External {
		here, err := w.src.History(ctx, head.History.Base, head.Last)
		var unknown *UnknownError
		switch {
		case err == nil && here == head.History:
			return relationHas, "", nil
		case err == nil && here.Base == head.History.Base:
			return relationDiffers, "the values of the hash chain differ at " + head.Last.String(), nil
		case err != nil && !errors.As(err, &unknown):
			return relationUnknown, "", err
		}
	}
	switch zero := (Digest{}); {
	case content == zero && !higher && w.wroteBefore(head):
		return relationHas, "", nil
	case content == zero || head.Content == zero:
		return relationUnknown, "nothing proves that its history is the same", nil
	case content == head.Content:
		return relationHas, "", nil
	}
	return relationDiffers, fmt.Sprintf("its transaction %v has other content", head.Last), nil
}
