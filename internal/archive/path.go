package archive

import (
	"context"
	"fmt"
	"sort"

	"github.com/zrsd/zrsd/zodb"
)

// A Path is the segments of a generation from the beginning of its file on, those that it shares included. It is for
// one goroutine.
type Path struct {
	*Manifest
	archive *Archive
	own     uint64 // segments that the generation has itself
	headers map[uint64]*Header
}

// path finds the segments of a generation.
func (a *Archive) path(ctx context.Context, m *Manifest) (*Path, error) {
	p := &Path{Manifest: m, archive: a, headers: map[uint64]*Header{}}
	return p, p.grow(ctx)
}

// grow looks for further segments. Their numbers have no gaps: it gallops, and bisects.
func (p *Path) grow(ctx context.Context) error {
	from, step := p.own, uint64(1) // there is from, not from + step
	for {
		is, err := p.exists(ctx, from+step)
		if err != nil {
			return err
		}
		if !is {
			break
		}
		from, step = from+step, step*2
	}
	low, high := from, from+step // there is low, not high
	for high-low > 1 {
		mid := low + (high-low)/2
		is, err := p.exists(ctx, mid)
		if err != nil {
			return err
		}
		if is {
			low = mid
		} else {
			high = mid
		}
	}
	p.own = low
	return nil
}

// exists reports whether the generation has a segment of its own with this number.
func (p *Path) exists(ctx context.Context, sequence uint64) (bool, error) {
	return p.archive.has(ctx, SegmentID{p.Generation, sequence}.name())
}

// Len is how many segments there are.
func (p *Path) Len() uint64 { return p.shared() + p.own }

// ID names the segment with this number, from 0.
func (p *Path) ID(i uint64) SegmentID {
	for _, part := range p.Parts {
		if i < part.Segments {
			return SegmentID{part.Generation, i + 1}
		}
		i -= part.Segments
	}
	return SegmentID{p.Generation, i + 1}
}

// Header reads the fixed part of a segment of the path.
func (p *Path) Header(ctx context.Context, i uint64) (*Header, error) {
	if h := p.headers[i]; h != nil {
		return h, nil
	}
	id := p.ID(i)
	h, err := p.archive.header(ctx, id)
	if missing(err) {
		err = &LostError{id.name(), fmt.Sprintf("generation %d", p.Generation), err}
	}
	if err == nil {
		p.remember(i, h)
	}
	return h, err
}

// maxHeaders is how many headers a path keeps.
const maxHeaders = 4096

func (p *Path) remember(i uint64, h *Header) {
	if len(p.headers) >= maxHeaders {
		clear(p.headers)
	}
	p.headers[i] = h
}

// End is the place up to which the path goes.
func (p *Path) End(ctx context.Context) (Place, error) {
	if p.own == 0 {
		return p.Start, nil
	}
	h, err := p.Header(ctx, p.Len()-1)
	if err != nil {
		return Place{}, err
	}
	return h.place(), nil
}

// head is the last segment, nil where there is none.
func (p *Path) head(ctx context.Context) (*Header, error) {
	if p.Len() == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return p.Header(ctx, p.Len()-1)
}

// complete reports whether the path has all that the file had when the generation was begun.
func (p *Path) complete(ctx context.Context) (bool, error) {
	end, err := p.End(ctx)
	return err == nil && end.End >= p.Whole && end.End > 0, err
}

// after returns the number of the first segment for which beyond is true; Len where there is none. Beyond is true of
// all that follow, too.
func (p *Path) after(ctx context.Context, beyond func(*Header) bool) (i uint64, err error) {
	i = uint64(sort.Search(int(p.Len()), func(i int) bool {
		if err != nil {
			return false
		}
		var h *Header
		h, err = p.Header(ctx, uint64(i))
		return err == nil && beyond(h)
	}))
	return i, err
}

// reaching returns the first segment that has a transaction above tid.
func (p *Path) reaching(ctx context.Context, tid zodb.Tid) (uint64, error) {
	return p.after(ctx, func(h *Header) bool { return h.Highest > tid })
}

// firstParts are the parts of a path that has the first n segments of this one.
func (p *Path) firstParts(n uint64) (list []Part) {
	for _, part := range append(p.Parts[:len(p.Parts):len(p.Parts)], Part{p.Generation, p.own}) {
		if n == 0 {
			break
		}
		part.Segments = min(part.Segments, n)
		n -= part.Segments
		list = append(list, part)
	}
	return list
}
