package filestorage

import (
	"context"
	"math/bits"

	"github.com/zrsd/zrsd/zodb"
)

// A pointer is what an appended record says about the place of another one, where the index does not confirm it.
type pointer struct {
	at   int64 // offset of the record
	to   int64 // where it leads
	oid  zodb.Oid
	tid  zodb.Tid // of its transaction
	prev bool     // it is the offset of the record before; else a back pointer
}

// notePrev compares the record before, as the record in progress names it, with the one that is current here. A pack
// leaves it out; and it may be one of an undone transaction, which counts as absent.
func (a *Appender) notePrev() {
	c := &a.stream
	if to := c.rec.Prev; to != 0 && to != a.current(c.rec.Oid) {
		a.checks = append(a.checks, pointer{c.recAt, to, c.rec.Oid, c.txn.Tid, true})
	}
}

// noteBack takes the back pointer of the record in progress, which is mostly to the current record.
func (a *Appender) noteBack(to int64) {
	c := &a.stream
	if to != 0 && to != a.current(c.rec.Oid) {
		a.checks = append(a.checks, pointer{c.recAt, to, c.rec.Oid, c.txn.Tid, false})
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

// checkPointers looks up in the file what was noted.
func (a *Appender) checkPointers(ctx context.Context) error {
	for _, p := range a.checks {
		err := a.checkPointer(ctx, p)
		if noRecord(err) {
			what := "its back pointer is wrong: "
			if p.prev {
				what = "it names a wrong record before it: "
			}
			return &NotIdenticalError{a.s.path, p.at, p.tid, p.oid, what + err.Error()}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPointer looks whether a record of the oid is where p leads, before the one that has p.
func (a *Appender) checkPointer(ctx context.Context, p pointer) error {
	e := a.file
	r, err := e.record(p.oid, p.to, p.at)
	if err != nil {
		return err
	}
	h, err := a.txnHeader(ctx, r.Tloc, p.to)
	if err != nil {
		return err
	}
	switch end := r.Tloc + int64(min(h.Length, maxAppendLength)); {
	case p.to < r.Tloc+h.headerLen() || p.to+r.length() > end:
		return e.corrupt(p.to, "a record", "an offset outside of the transaction that it names")
	case p.prev && h.Status != zodb.StatusUndone:
		return e.corrupt(p.to, "the current record, or one of an undone transaction", "another record of the object")
	}
	return nil
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
type offsetTable struct {
	n     int
	slots []entry // a power of two of them, at most half of them used; pos 0: free
}

// minSlots is how large a table begins.
const minSlots = 1 << 6

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
	i := int(uint64(oid) * 0x9E3779B97F4A7C15 >> (64 - bits.TrailingZeros(uint(len(t.slots)))))
	for t.slots[i].pos != 0 && t.slots[i].oid != oid {
		i = (i + 1) & mask
	}
	return i
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
