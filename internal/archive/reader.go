package archive

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// A reader streams the segments of a path, several at a time, in order.
//
//	store ── so many reads at a time ──▶ stored bytes ── one a core ──▶ verified content ── in order ──▶ do
//	              ▲                           │                              │
//	              └──── buffers of both kinds, used again ◀─────────────────┘
//
// There are never more than atOnce segments in memory, in either form.
type reader struct {
	path     *Path
	decoding chan struct{} // turns to use a core
	stored   spares
	contents spares
	atOnce   int
	all      bool // digests, those of what is stored included
}

func newReader(path *Path, atOnce int, all bool) *reader {
	return &reader{
		path: path, atOnce: atOnce, all: all, decoding: make(chan struct{}, runtime.GOMAXPROCS(0)),
		stored: make(spares, atOnce), contents: make(spares, atOnce),
	}
}

// A fetched segment, or why there is none.
type fetched struct {
	*Segment
	err error
}

// each calls do with each segment from number first up to n, in order, after it was verified, and that it follows the
// one before. Its bytes are valid until do returns.
func (r *reader) each(ctx context.Context, first, n uint64, at Place, do func(i uint64, s *Segment) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	turns := make(chan chan fetched, r.atOnce-1)
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(turns)
		for i := first; i < n; i++ {
			turn := make(chan fetched, 1)
			select {
			case turns <- turn:
			case <-inner.Done():
				return context.Cause(inner)
			}
			id := r.path.ID(i)
			g.Go(func() error {
				s, err := r.fetch(inner, id)
				turn <- fetched{s, err}
				return nil
			})
		}
		return nil
	})
	g.Go(func() error {
		i := first
		for turn := range turns {
			f := <-turn
			if f.err != nil {
				return f.err
			}
			if err := f.follows(&at); err != nil {
				return err
			}
			if err := do(i, f.Segment); err != nil {
				return err
			}
			at = f.place()
			if f.Bytes != nil {
				r.contents.put(f.Bytes)
			}
			i++
		}
		return context.Cause(inner)
	})
	return g.Wait()
}

// fetch reads a segment and verifies it. The memory of what is stored is free again when it returns.
func (r *reader) fetch(ctx context.Context, id SegmentID) (*Segment, error) {
	h, stored, err := r.path.archive.stored(ctx, id, r.stored)
	if missing(err) {
		return nil, &LostError{id.name(), fmt.Sprintf("generation %d", r.path.Generation), err}
	}
	if err != nil {
		return nil, err
	}
	defer r.stored.put(stored)
	select {
	case r.decoding <- struct{}{}:
		defer func() { <-r.decoding }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return r.path.archive.decode(h, stored, r.contents, r.all)
}
