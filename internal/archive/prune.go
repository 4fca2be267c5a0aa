package archive

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// graceBlobs is how old a blob must be that no segment refers to, to be deleted: the segment may be on its way.
const graceBlobs = 24 * time.Hour

// PruneOptions are what Prune is told.
type PruneOptions struct {
	Keep   Keep
	DryRun bool
	Now    time.Time
	Tell   func(PruneReport)
}

// A PruneReport says what was deleted, or would be.
type PruneReport struct {
	DryRun      bool        `json:"dry_run"`
	Generations []uint64    `json:"generations"` // that go as a whole
	Shortened   []SegmentID `json:"shortened"`   // the last segments that stay of others
	Segments    uint64      `json:"segments"`    // that go
	Blobs       uint64      `json:"blobs"`       // likewise
	Bytes       int64       `json:"bytes"`       // stored by both
	Refused     uint64      `json:"refused"`     // objects that the store did not delete, as under an object lock
	FirstError  *string     `json:"first_error"` // of these
	Oldest      *time.Time  `json:"oldest"`      // moment that can be restored afterwards
}

// Prune deletes what no moment needs that is kept. What the store does not delete is counted, and tried again by the
// next call.
func (a *Archive) Prune(ctx context.Context, opt PruneOptions) (*PruneReport, error) {
	if err := opt.Keep.Check(); err != nil {
		return nil, err
	}
	p := &pruner{a: a, opt: opt, blobs: map[string]bool{}}
	p.report = PruneReport{DryRun: opt.DryRun, Generations: []uint64{}, Shortened: []SegmentID{}}
	if err := p.decide(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{p.manifests, p.segments, p.unusedBlobs, p.oldVerifications} {
		if err := step(ctx); err != nil {
			return &p.report, err
		}
	}
	return &p.report, nil
}

type pruner struct {
	a      *Archive
	opt    PruneOptions
	report PruneReport

	gone  []uint64          // generations without a kept moment
	stays map[uint64]uint64 // how many of its own segments each generation keeps
	blobs map[string]bool   // that are referred to
}

// decide finds out what stays. It changes nothing.
func (p *pruner) decide(ctx context.Context) error {
	list, err := p.a.Generations(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("%s: it has no generation: nothing is deleted", p.a)
	}
	need, err := p.opt.Keep.needed(list, p.opt.Now, func(g *Generation, tid zodb.Tid) (uint64, error) {
		n, err := g.reaching(ctx, tid)
		return min(n+1, g.Len()), err
	})
	if err != nil {
		return err
	}
	p.stays = map[uint64]uint64{}
	for _, g := range list {
		n, kept := need[g.Generation]
		if !kept {
			p.gone = append(p.gone, g.Generation)
			continue
		}
		if err := p.keeps(ctx, g, n); err != nil {
			return err
		}
	}
	p.report.Generations = append(p.report.Generations, p.gone...)
	return nil
}

// keeps notes the first n segments of a path, with their blobs.
func (p *pruner) keeps(ctx context.Context, g *Generation, n uint64) error {
	p.stays[g.Generation] = max(p.stays[g.Generation], 0)
	if p.report.Oldest == nil {
		at := g.Since.Time().UTC()
		p.report.Oldest = &at
	}
	for _, part := range g.firstParts(n) {
		p.stays[part.Generation] = max(p.stays[part.Generation], part.Segments)
	}
	for i := range n {
		if err := g.ahead(ctx, i); err != nil {
			return err
		}
		h, err := g.Header(ctx, i)
		if err != nil {
			return err
		}
		entries, err := p.a.blobsOf(ctx, h)
		if err != nil {
			return err
		}
		for k := range entries {
			p.blobs[entries[k].name()] = true
		}
	}
	return nil
}

// delete deletes one object, or only counts it. It returns false where the store keeps it.
func (p *pruner) delete(ctx context.Context, name string, size int64) (bool, error) {
	if !p.opt.DryRun {
		if err := p.a.store.Delete(ctx, name); err != nil {
			if ctx.Err() != nil || !refusedByStore(err) {
				return false, err
			}
			p.report.Refused++
			if p.report.FirstError == nil {
				text := err.Error()
				p.report.FirstError = &text
			}
			return false, nil
		}
	}
	p.report.Bytes += size
	if p.opt.Tell != nil {
		p.opt.Tell(p.report)
	}
	return true, nil
}

// manifests deletes those of generations of which no moment is kept: nobody restores from them any more.
func (p *pruner) manifests(ctx context.Context) error {
	for _, n := range p.gone {
		gone, err := p.delete(ctx, generationName(n), 0)
		if err != nil {
			return err
		}
		if !gone { // its segments stay, too: it goes on being a whole one
			if err := p.keepsWhole(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pruner) keepsWhole(ctx context.Context, n uint64) error {
	g, err := p.a.generation(ctx, n)
	if err != nil {
		return err
	}
	p.report.Generations = slices.DeleteFunc(p.report.Generations, func(k uint64) bool { return k == n })
	return p.keeps(ctx, g, g.Len())
}

// segments deletes those that nobody needs, of each generation the last one first.
func (p *pruner) segments(ctx context.Context) error {
	sizes := map[uint64][]int64{}
	for o, err := range p.a.store.List(ctx, segments) {
		if err != nil {
			return err
		}
		id, ok := parseSegment(o.Key)
		if !ok || id.Generation > p.newest() {
			continue // what was begun since is nobody's to delete
		}
		for uint64(len(sizes[id.Generation])) < id.Sequence {
			sizes[id.Generation] = append(sizes[id.Generation], 0)
		}
		sizes[id.Generation][id.Sequence-1] = o.Size
	}
	for generation, list := range sizes {
		if generation == p.newest() {
			continue
		}
		stays := p.stays[generation]
		if stays > 0 && stays < uint64(len(list)) {
			p.report.Shortened = append(p.report.Shortened, SegmentID{generation, stays})
		}
		for n := uint64(len(list)); n > stays; n-- {
			gone, err := p.delete(ctx, SegmentID{generation, n}.name(), list[n-1])
			if err != nil {
				return err
			}
			if !gone {
				if err := p.keepsLocked(ctx, SegmentID{generation, n}); err != nil {
					return err
				}
				break // the ones before it stay, too: there are no gaps
			}
			p.report.Segments++
		}
	}
	slices.SortFunc(p.report.Shortened, func(a, b SegmentID) int { return int(a.Generation) - int(b.Generation) })
	return nil
}

// keepsLocked notes the blobs of segments that the store keeps.
func (p *pruner) keepsLocked(ctx context.Context, last SegmentID) error {
	for n := uint64(1); n <= last.Sequence; n++ {
		h, err := p.a.header(ctx, SegmentID{last.Generation, n})
		if err != nil {
			return err
		}
		entries, err := p.a.blobsOf(ctx, h)
		if err != nil {
			return err
		}
		for k := range entries {
			p.blobs[entries[k].name()] = true
		}
	}
	return nil
}

// newest is the generation that may be written at present.
func (p *pruner) newest() (n uint64) {
	for g := range p.stays {
		n = max(n, g)
	}
	return n
}

// unusedBlobs deletes blobs that no segment that stays refers to, and that are too old to be on their way. What was
// written since decide refers to newer ones only, or to those of the newest path.
func (p *pruner) unusedBlobs(ctx context.Context) error {
	for o, err := range p.a.store.List(ctx, blobs) {
		if err != nil {
			return err
		}
		if _, ok := parseBlob(o.Key); !ok || p.blobs[o.Key] || p.opt.Now.Sub(o.Changed) < graceBlobs {
			continue
		}
		gone, err := p.delete(ctx, o.Key, o.Size)
		if err != nil {
			return err
		}
		if gone {
			p.report.Blobs++
		}
	}
	return nil
}
