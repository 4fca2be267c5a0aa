package filestorage

import (
	"cmp"
	"context"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

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
	w.progress = func(done, total int64) { p.report(PackScan, done, total) }
	packedBefore, packedBehind := true, true
	for {
		more, err := w.next()
		if err != nil {
			return false, err
		}
		if !more {
			break
		}
		if w.txn.Tid > p.stop {
			p.packpos, packedBehind = w.pos, w.txn.Status == zodb.StatusPacked
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
	return packedBefore && packedBehind || p.packpos == magicLen, nil
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
	return at == pos|kept || v.retained(pos) != nil
}

// liveRecord returns the retained revision with this old offset, nil if there is none.
func (v *liveSet) retained(pos int64) *liveRecord {
	i, ok := slices.BinarySearchFunc(v.extra, pos, func(r liveRecord, pos int64) int {
		return cmp.Compare(r.old, pos)
	})
	if !ok {
		return nil
	}
	return &v.extra[i]
}
