package filestorage

import (
	"context"
	"sort"

	"github.com/zrsd/zrsd/zodb"
)

// While commits go on, what they add is copied in rounds, until what one round leaves for the next is at most
// smallRest; maxRounds bound the wait for that where commits are as fast as copying.
const (
	smallRest = 256 << 10
	maxRounds = 32
)

// catchUp copies what is committed without keeping anybody from committing, until little is left.
func (p *packer) catchUp(ctx context.Context) error {
	for range maxRounds {
		if err := p.copyRest(ctx, p.e.size()); err != nil {
			return err
		}
		if p.e.size()-p.done <= smallRest {
			break
		}
	}
	return nil
}

// copyRest copies the transactions from done to end whole, durably.
func (p *packer) copyRest(ctx context.Context, end int64) error {
	w := newWalker(ctx, p.in, p.e.path, p.done, end)
	w.progress = func(done, total int64) { p.report(PackCopy, done, total) }
	for {
		more, err := w.next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := p.copyLater(w); err != nil {
			return err
		}
	}
	p.done = end
	return p.sync()
}

// copyLater copies the transaction that w is at, with the offsets in it changed to those of the new file.
func (p *packer) copyLater(w *walker) error {
	tloc := p.out.pos()
	if err := p.copyHead(w, w.txn.Status); err != nil {
		return err
	}
	p.changed = p.changed[:0]
	err := w.records(func(r record) error {
		p.changed = append(p.changed, entry{r.Oid, p.out.pos()})
		return p.copyWhole(w, r, tloc)
	})
	if err != nil {
		return err
	}
	if err := p.endTxn(tloc); err != nil {
		return err
	}
	behind := w.behind()
	if by := p.out.pos() - behind; by != p.shifts[len(p.shifts)-1].by {
		p.shifts = append(p.shifts, shift{behind, by})
	}
	if w.txn.Status != zodb.StatusUndone {
		for _, e := range p.changed {
			p.index.set(e.oid, e.pos)
		}
	}
	return nil
}

// copyWhole copies a record into the transaction at tloc. One that points back to one that is not kept gets the data.
func (p *packer) copyWhole(w *walker, r record, tloc int64) error {
	h := r.recHeader
	h.Tloc = tloc
	h.Prev, _ = p.index.get(r.Oid)
	if h.PLen > 0 || r.back == 0 {
		return p.writeRecord(w, &h, r.pos, 0)
	}
	back, err := p.newOffset(r.Oid, r.back)
	if err != nil {
		return err
	}
	if back != 0 {
		return p.writeRecord(w, &h, 0, back)
	}
	from, err := p.e.origin(r.Oid, r.back, r.pos)
	if err != nil {
		return err
	}
	h.PLen = from.PLen
	return p.writeRecord(w, &h, from.pos, 0)
}

// newOffset returns where the record of oid at the old offset is in the new file, 0 when it is not kept.
func (p *packer) newOffset(oid zodb.Oid, old int64) (int64, error) {
	if old >= p.packpos {
		i := sort.Search(len(p.shifts), func(i int) bool { return p.shifts[i].old > old })
		return old + p.shifts[i-1].by, nil
	}
	if x := p.retained(old); x != nil {
		return x.new, nil
	}
	at, _ := p.current.get(oid)
	if at&moved == 0 {
		return 0, nil
	}
	at &^= kept | moved
	was, err := p.e.record(oid, old, p.packpos)
	if err != nil {
		return 0, err
	}
	var b [recHeaderLen]byte
	if err := readFull(p.file, b[:], at); err != nil {
		return 0, err
	}
	var now recHeader
	if now.decode(b[:]); now.Tid != was.Tid {
		return 0, nil
	}
	return at, nil
}
