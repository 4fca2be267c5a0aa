package filestorage

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// markBatch is how many objects are marked at a time, in the order in which they are in the file.
const markBatch = 16 << 10

// A root is a record that keeps alive what it refers to.
type root struct {
	oid zodb.Oid
	pos int64
}

// collect marks what is kept. With GC that is what can be reached from the root at the pack time, and what can be
// reached from a revision that a later transaction points back to; without GC it is all that was current.
//
// An object that could not be reached is kept as the revision that is pointed back to, without what it refers to: so
// does ZODB, which also follows its references when it is pointed back to once more.
func (p *packer) collect(ctx context.Context, end int64) error {
	m := marker{packer: p, ctx: ctx, buf: make([]byte, 8<<10)}
	m.reader = &openDataFile{path: p.e.path, file: &ahead{File: p.in, end: p.packpos}}
	if !p.opt.GC {
		for oid, pos := range p.current.all() {
			if pos != gone {
				p.current.set(oid, pos|kept)
			}
		}
		p.bytes = p.packpos
	} else if err := m.markRoot(); err != nil {
		return err
	}
	roots, err := p.pointedBackTo(ctx, end)
	if err != nil || !p.opt.GC {
		return err
	}
	for _, r := range roots {
		if err := m.follow(r); err != nil {
			return err
		}
	}
	return m.mark()
}

// pointedBackTo keeps the records up to the pack time that later transactions point back to. It returns those of
// objects that were kept already.
func (p *packer) pointedBackTo(ctx context.Context, end int64) (roots []root, err error) {
	w := newWalker(ctx, p.in, p.e.path, p.packpos, end)
	err = w.each(func() error {
		return w.records(func(r record) error {
			if r.back == 0 || r.back >= p.packpos {
				return nil
			}
			at, _ := p.current.get(r.Oid)
			if at&kept == 0 {
				p.current.set(r.Oid, r.back|kept)
				return nil
			}
			roots = append(roots, root{r.Oid, r.back})
			if at != r.back|kept {
				p.extra = append(p.extra, liveRecord{old: r.back})
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(p.extra, func(a, b liveRecord) int { return cmp.Compare(a.old, b.old) })
	p.extra = slices.Compact(p.extra)
	return roots, nil
}

// A marker follows references. Each object is put on the stack once, when it is marked.
type marker struct {
	*packer
	ctx    context.Context // it lives inside one call of collect
	stack  []zodb.Oid
	batch  []root
	found  []zodb.Oid
	marked int64
	reader *openDataFile // of the same file
	buf    []byte        // for one record
}

func (m *marker) markRoot() error {
	if m.live == 0 {
		return nil
	}
	if err := m.reach(0, root{}); err != nil {
		return err
	}
	return m.mark()
}

// reach marks an object, for a record that refers to it.
func (m *marker) reach(oid zodb.Oid, from root) error {
	pos, ok := m.current.get(oid)
	switch {
	case !ok || pos == gone:
		return &DanglingError{Oid: oid, From: from.oid, Pos: from.pos}
	case pos&kept == 0:
		m.current.set(oid, pos|kept)
		m.stack = append(m.stack, oid)
	}
	return nil
}

// mark marks all that can be reached from what is on the stack. Records are read in batches by rising offset, which
// makes a disk read nearly in sequence.
func (m *marker) mark() error {
	total := int64(m.current.len())
	for len(m.stack) > 0 {
		if m.ctx.Err() != nil {
			return context.Cause(m.ctx)
		}
		m.report(packMark, m.marked, total)
		from := max(len(m.stack)-markBatch, 0)
		m.batch = m.batch[:0]
		for _, oid := range m.stack[from:] {
			pos, _ := m.current.get(oid)
			m.batch = append(m.batch, root{oid, pos &^ kept})
		}
		m.stack = m.stack[:from]
		m.marked += int64(len(m.batch))
		slices.SortFunc(m.batch, func(a, b root) int { return cmp.Compare(a.pos, b.pos) })
		for _, r := range m.batch {
			if err := m.follow(r); err != nil {
				return err
			}
		}
	}
	m.stack, m.batch = nil, nil
	m.report(packMark, total, total)
	return nil
}

// referrer looks for an object that leads to oid, among those that are marked. It is asked for when the pack has
// failed, so that nothing has to be remembered for it; an object that cannot be read is not it.
func (m *marker) referrer(oid zodb.Oid) (from zodb.Oid, pos int64, err error) {
	for candidate, at := range m.current.all() {
		if m.ctx.Err() != nil {
			return 0, 0, context.Cause(m.ctx)
		}
		if at&kept == 0 || candidate == oid {
			continue
		}
		data, err := m.reader.revisionInto(m.buf, candidate, at&^kept, m.packpos)
		if err != nil || data == nil {
			continue
		}
		if m.found, err = m.opt.References(data, m.found[:0]); err == nil && slices.Contains(m.found, oid) {
			return candidate, at &^ kept, nil
		}
	}
	return 0, 0, nil
}

// follow marks what a record refers to, and leaves it on the stack.
func (m *marker) follow(r root) error {
	data, err := m.reader.revisionInto(m.buf, r.oid, r.pos, m.packpos)
	if err != nil {
		return err
	}
	m.bytes += recHeaderLen + backLen + int64(len(data))
	if data == nil {
		return nil
	}
	if m.found, err = m.opt.References(data, m.found[:0]); err != nil {
		failed := &RecordError{Oid: r.oid, Pos: r.pos, Err: err}
		failed.From, failed.FromPos, err = m.referrer(r.oid)
		if err != nil {
			return errors.Join(failed, err)
		}
		return failed
	}
	for _, oid := range m.found {
		if err := m.reach(oid, r); err != nil {
			return err
		}
	}
	return nil
}

// liveSet are the records that a pack keeps of the transactions up to the pack time. In memory an object costs what
// its entry in an index does: marks are bits of the offset.
type liveSet struct {
	packpos int64        // where the first transaction after the pack time is, or the end
	current *index       // oid to the offset of the record that was current at the pack time, with marks
	live    int          // entries in it that are not gone
	extra   []liveRecord // by their old offsets: further revisions, which later transactions point back to
	bytes   int64        // what the kept records and all transaction headers need at most; without GC all up to packpos
}

// Marks on offsets, and an offset for an object that did not exist any more at the pack time.
const (
	kept  = 1 << 62 // the record is kept
	moved = 1 << 61 // and copied: the offset is that in the new file
	gone  = 1
)

// A liveRecord is a revision that is kept though another one was current at the pack time.
type liveRecord struct{ old, new int64 }

// scan finds the records that were current at the pack time, and reports whether there is nothing to pack: no
// transaction that old, or none that an earlier pack has not been over.
func (p *packer) scan(ctx context.Context, end int64) (nothing bool, err error) {
	p.current, p.packpos = newIndex(), end
	w := newWalker(ctx, p.in, p.e.path, magicLen, end)
	w.progress = func(done, total int64) { p.report(packScan, done, total) }
	packedBefore, packedAfter := true, true
	for {
		more, err := w.next()
		if err != nil {
			return false, err
		}
		if !more {
			break
		}
		if w.txn.Tid > p.stop {
			p.packpos, packedAfter = w.pos, w.txn.Status == zodb.StatusPacked
			break
		}
		p.bytes += w.txn.headerLen() + lengthLen
		packedBefore = packedBefore && w.txn.Status == zodb.StatusPacked
		if w.txn.Status == zodb.StatusUndone {
			continue
		}
		if err := w.records(p.wasCurrent); err != nil {
			return false, err
		}
	}
	return packedBefore && packedAfter || p.packpos == magicLen, nil
}

func (p *packer) wasCurrent(r record) error {
	at, known := p.current.get(r.Oid)
	if known && at != gone {
		p.live--
	}
	switch {
	case r.PLen > 0 || r.back > 0:
		p.current.set(r.Oid, r.pos)
		p.live++
	case known:
		p.current.set(r.Oid, gone)
	}
	return nil
}

// keeps reports whether the record of oid at the old offset pos is kept.
func (v *liveSet) keeps(oid zodb.Oid, pos int64) bool {
	at, _ := v.current.get(oid)
	return at == pos|kept || v.record(pos) != nil
}

// record returns the retained revision with this old offset, nil if there is none.
func (v *liveSet) record(pos int64) *liveRecord {
	i, ok := slices.BinarySearchFunc(v.extra, pos, func(r liveRecord, pos int64) int {
		return cmp.Compare(r.old, pos)
	})
	if !ok {
		return nil
	}
	return &v.extra[i]
}
