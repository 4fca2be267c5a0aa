package archive

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
)

// A reader streams the segments of a path, several at a time, each in small pieces: of a segment there is never more in
// memory than what zstd looks back to.
//
//	store ──▶ segment 1: decrypt ▶ decompress ▶ digest ▶ into ──┐
//	store ──▶ segment 2: decrypt ▶ decompress ▶ digest ▶ into ──┴─ verified, in order ──▶ do
//
// Before the first byte of a segment goes on, its header has been proved to follow that of the segment before.
type reader struct {
	path   *Path
	atOnce int
	// into takes the bytes of a segment, which are verified only when do is called for it; nil: nobody needs them.
	into func(h *Header) (io.Writer, error)
}

// A fetched segment, or why there is none.
type fetched struct {
	*Segment
	err error
}

// each calls do with each segment from number first up to n, in order, after it was verified.
func (r *reader) each(ctx context.Context, first, n uint64, at Place, do func(i uint64, s *Segment) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	turns := make(chan chan fetched, r.atOnce-1)
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(turns)
		before := make(chan Place, 1)
		before <- at
		for i := first; i < n; i++ {
			turn := make(chan fetched, 1)
			select {
			case turns <- turn:
			case <-inner.Done():
				return context.Cause(inner)
			}
			id, from, to := r.path.ID(i), before, make(chan Place, 1)
			g.Go(func() error {
				s, err := r.fetch(inner, id, from, to)
				turn <- fetched{s, err}
				return nil
			})
			before = to
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
			if err := do(i, f.Segment); err != nil {
				return err
			}
			i++
		}
		return context.Cause(inner)
	})
	return g.Wait()
}

// fetch reads a segment, and verifies it. From is where the one before ends, to where this one does.
func (r *reader) fetch(ctx context.Context, id SegmentID, from <-chan Place, to chan<- Place) (s *Segment, err error) {
	in, err := r.path.archive.store.Read(ctx, id.name(), 0, -1)
	if missing(err) {
		return nil, &LostError{id.name(), fmt.Sprintf("generation %d", r.path.Generation), err}
	}
	if err != nil {
		return nil, err
	}
	s, err = r.path.archive.stream(id, in, func(h *Header) (io.Writer, error) {
		select {
		case at := <-from:
			if err := h.follows(&at); err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		to <- h.place()
		into := io.Discard
		if r.into != nil {
			var err error
			if into, err = r.into(h); err != nil {
				return nil, err
			}
		}
		return &until{ctx, into}, nil
	})
	if failed := in.Close(); err == nil {
		err = failed
	}
	return s, err
}

// until writes as long as a context lasts.
type until struct {
	ctx context.Context //nolint:containedctx // of the one call that writes
	to  io.Writer
}

func (u *until) Write(b []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.to.Write(b)
}
