package filestorage

import (
	"context"
	"math/bits"

	"github.com/zrsd/zrsd/zodb"
)

// A pointer is what an appended record says about the place of another one, where the index does not confirm it.
type pointer struct {
	at      int64 // offset of the record
	to      int64 // where it leads
	current int64 // the record of the oid before the transaction, 0 for none
	oid     zodb.Oid
	tid     zodb.Tid // of its transaction
	prev    bool     // it is the offset of the record before; else a back pointer
}

// notePrev compares the record before, as the record in progress names it, with the one that is current here. A pack
// leaves it out; and it may be one of an undone transaction, which counts as absent.
func (a *Appender) notePrev() { a.note(a.stream.rec.Prev, true) }

// noteBack takes the back pointer of the record in progress, which is often to the current record.
func (a *Appender) noteBack(to int64) { a.note(to, false) }

func (a *Appender) note(to int64, prev bool) {
	if to == 0 {
		return
	}
	c := &a.stream
	if current := a.current(c.rec.Oid); to != current {
		a.checks = append(a.checks, pointer{c.recAt, to, current, c.rec.Oid, c.txn.Tid, prev})
	}
}

// current returns the offset of the record of oid that is current before the transaction in progress, 0 for none.
func (a *Appender) current(oid zodb.Oid) int64 {
	pos, ok := a.newest.get(oid)
	if !ok {
		pos, _ = a.s.newest(oid)
	}
	return pos
}

// checkPointers follows in the file what was noted.
func (a *Appender) checkPointers(ctx context.Context) error {
	for _, p := range a.checks {
		check, what := a.checkBack, "its back pointer is wrong: "
		if p.prev {
			check, what = a.checkPrev, "it names a wrong record before it: "
		}
		err := check(ctx, p)
		if noRecord(err) {
			return &NotIdenticalError{a.s.path, p.at, p.tid, p.oid, what + err.Error()}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkBack looks whether a back pointer leads, by way of others, to data of the oid, to a record without any, or to
// the current record.
func (a *Appender) checkBack(ctx context.Context, p pointer) error {
	for at, to := p.at, p.to; to != 0 && to != p.current; {
		r, _, err := a.target(ctx, p.oid, to, at)
		if err != nil {
			return err
		}
		at, to = to, r.back
	}
	return nil
}

// checkPrev looks whether the records before are those of undone transactions down to the current one.
func (a *Appender) checkPrev(ctx context.Context, p pointer) error {
	for at, to := p.at, p.to; to != 0 && to != p.current; {
		r, status, err := a.target(ctx, p.oid, to, at)
		if err != nil {
			return err
		}
		if status != zodb.StatusUndone {
			return a.file.corrupt(to, "the current record, or one of an undone transaction", "another of the oid")
		}
		at, to = to, r.Prev
	}
	return nil
}

// target reads the record of oid at an offset, which must end before another, and the status of its transaction.
func (a *Appender) target(ctx context.Context, oid zodb.Oid, at, before int64) (r record, _ zodb.Status, err error) {
	if err := context.Cause(ctx); err != nil {
		return r, 0, err
	}
	e := a.file
	if r, err = e.record(oid, at, before); err != nil {
		return r, 0, err
	}
	h, err := a.txnHeader(ctx, r.Tloc, at)
	if err != nil {
		return r, 0, err
	}
	if end := r.Tloc + int64(min(h.Length, maxAppendLength)); at < r.Tloc+h.headerLen() || at+r.length() > end {
		return r, 0, e.corrupt(at, "a record", "an offset outside of the transaction that it names")
	}
	return r, h.Status, nil
}

// txnHeader reads the header of a transaction, with the status that it has once it is finished.
func (a *Appender) txnHeader(ctx context.Context, at, within int64) (h txnHeader, err error) {
	h, err = a.file.txnHeaderAt(at, within)
	if err != nil || h.Status != zodb.StatusCheckpoint {
		return h, err
	}
	if at == a.g.start {
		h.Status = a.g.status
		return h, nil
	}
	if err := a.s.queue.lighter(ctx, 1); err != nil {
		return h, err
	}
	return a.file.txnHeaderAt(at, within)
}

// An offsetTable maps oids to offsets above 0. It is for many new entries in a short time, of which none is removed.
// Neighbouring oids are in neighbouring slots.
type offsetTable struct {
	n     int
	slots []entry // a power of two of them, at most half of them used; pos 0: free
}

const (
	minSlots = 1 << 6 // of a table at first
	slotRun  = 4      // what one cache line has
)

func (t *offsetTable) get(oid zodb.Oid) (pos int64, ok bool) {
	if t.n == 0 {
		return 0, false
	}
	pos = t.slots[t.find(oid)].pos
	return pos, pos != 0
}

func (t *offsetTable) set(oid zodb.Oid, pos int64) {
	if 2*t.n >= len(t.slots) {
		t.grow()
	}
	s := &t.slots[t.find(oid)]
	if s.pos == 0 {
		t.n++
	}
	*s = entry{oid, pos}
}

// find returns the slot of oid, or the free one where it belongs.
func (t *offsetTable) find(oid zodb.Oid) int {
	mask := len(t.slots) - 1
	i := int(uint64(oid) / slotRun * 0x9E3779B97F4A7C15 >> (64 - bits.TrailingZeros(uint(len(t.slots)/slotRun))))
	i = i*slotRun + int(oid%slotRun)
	for t.slots[i].pos != 0 && t.slots[i].oid != oid {
		i = (i + 1) & mask
	}
	return i
}

// another returns an empty table with room for as many.
func (t *offsetTable) another() offsetTable {
	if t.n == 0 {
		return offsetTable{}
	}
	return offsetTable{slots: make([]entry, max(minSlots, 1<<bits.Len(uint(2*t.n-1))))}
}

func (t *offsetTable) grow() {
	old := t.slots
	t.slots = make([]entry, max(2*len(old), minSlots))
	for _, e := range old {
		if e.pos != 0 {
			t.slots[t.find(e.oid)] = e
		}
	}
}
