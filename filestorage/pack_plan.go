package filestorage

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/zodb"
)

// PlannedPack says which blobs a pack up to stop would drop, in the order of their oids and tids. It only reads, so the
// storage may be read-only; of opt it heeds GC, References and Progress. Errors are those of Pack.
func (s *Storage) PlannedPack(ctx context.Context, stop zodb.Tid, opt PackOptions,
	dropped func(zodb.Oid, zodb.Tid)) error {
	if opt.References == nil {
		opt.References = new(references.Scanner).Scan
	}
	opt.References = s.scanning(opt.References)
	e := s.hold()
	defer e.release()
	p := &packer{s: s, e: e, opt: opt, stop: stop, way: s.newWay()}
	p.in = politeFile{e.file, p.way}
	if err := p.plan(ctx); err != nil {
		return fmt.Errorf("look what a pack of %s would drop: %w", s.path, err)
	}
	for _, d := range p.dropped {
		dropped(d.oid, d.tid)
	}
	return nil
}

// plan finds what is dropped, and copies nothing.
func (p *packer) plan(ctx context.Context) error {
	end := p.e.size()
	nothing, err := p.scan(ctx, end)
	if nothing || err != nil {
		return err
	}
	if err := p.collect(ctx, end); err != nil {
		return err
	}
	w := newWalker(ctx, p.in, p.e.path, magicLen, p.packpos)
	w.progress = func(done, total int64) { p.report(packCopy, done, total) }
	err = w.each(func() error {
		return w.records(func(r record) error {
			if w.txn.Status == zodb.StatusUndone || p.keeps(r.Oid, r.pos) {
				return nil
			}
			return p.noteDropped(w, &r)
		})
	})
	p.sortDropped()
	return err
}

// sortDropped sorts the blobs that are dropped, and leaves each there once: a transaction may have stored an object
// twice, with one blob.
func (p *packer) sortDropped() {
	slices.SortFunc(p.dropped, func(a, b revisionID) int {
		return cmp.Or(cmp.Compare(a.oid, b.oid), cmp.Compare(a.tid, b.tid))
	})
	p.dropped = slices.Compact(p.dropped)
}
