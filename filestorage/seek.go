package filestorage

import (
	"context"
	"math"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// A search by tid never reads the whole file. Tids rise along it, so any transaction whose place is known tells on
// which side of it the one that is looked for stands. The end is tried first: whoever resumes is rarely far behind.
// Then the index helps: its offsets lie all over the file, and each record names the place of its transaction. What is
// left between two such places is walked from the side that is nearer in time.
const (
	nearEnd = 2048 // transactions that are tried from the end before anything else
	samples = 4096 // parts of a file from each of which the index gives one record
)

// after returns the offset after the transaction with this tid, or that of seek when there is none.
func (s *source) behind(ctx context.Context, tid zodb.Tid) (int64, error) {
	p, err := s.headerCursor()
	if err != nil || tid == 0 {
		return magicLen, err
	}
	found, err := p.exact(ctx, tid)
	if found {
		return p.behind(), err
	}
	return p.pos, err
}

// seek returns the offset of the first transaction with a tid above after, the end when there is none.
func (s *source) seek(ctx context.Context, after zodb.Tid) (int64, error) {
	p, err := s.headerCursor()
	if err != nil {
		return 0, err
	}
	err = p.seek(ctx, after)
	return p.pos, err
}

func (p *headerCursor) seek(ctx context.Context, after zodb.Tid) error {
	if found, err := p.backTo(ctx, after, nearEnd); found || err != nil {
		return err
	}
	upper := p.txnPosition // above after
	if err := p.load(magicLen); err != nil || p.txn.Tid > after {
		return err
	}
	lower := p.txnPosition // at or below after
	if p.src.index != nil {
		if err := p.narrow(ctx, after, &lower, &upper); err != nil {
			return err
		}
	}
	if after-lower.txn.Tid < upper.txn.Tid-after {
		p.txnPosition = lower
		return p.forwardTo(ctx, after)
	}
	p.txnPosition = upper
	_, err := p.backTo(ctx, after, math.MaxInt64)
	return err
}

// maxStray is how many transactions are tried from the end for one that is not where the order of tids has it.
const maxStray = 20_000

// exact goes to the transaction with this tid, the last one of equal ones, and reports whether there is one; otherwise
// it stands where that would be. In files of clocks that were wrong, tids go down here and there: then a search by
// order can miss what is there, and transactions are tried one after the other, from the end.
func (p *headerCursor) exact(ctx context.Context, tid zodb.Tid) (bool, error) {
	if err := p.seek(ctx, tid); err != nil {
		return false, err
	}
	behind := p.txnPosition
	if p.pos > magicLen {
		if err := p.prev(); err != nil {
			return false, err
		}
		if p.txn.Tid == tid {
			return true, nil
		}
	}
	if err := p.load(p.win.size); err != nil {
		return false, err
	}
	for steps := 0; steps < maxStray && p.pos > magicLen; steps++ {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if err := p.prev(); err != nil {
			return false, err
		}
		if p.txn.Tid == tid {
			return true, nil
		}
	}
	p.txnPosition = behind
	return false, nil
}

// narrow moves lower and upper together by halves, over transactions that the index knows. The index is a hint here and
// may belong to another state of the file: a sample that the file does not confirm is left out.
func (p *headerCursor) narrow(ctx context.Context, after zodb.Tid, lower, upper *txnPosition) error {
	list := spread(p.src.index(), p.win.size)
	for len(list) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		mid := len(list) / 2
		switch confirmed := p.loadSample(list[mid]); {
		case !confirmed:
			list = slices.Delete(list, mid, mid+1)
		case p.pos <= lower.pos:
			list = list[mid+1:]
		case p.pos >= upper.pos:
			list = list[:mid]
		case p.txn.Tid <= after:
			*lower, list = p.txnPosition, list[mid+1:]
		default:
			*upper, list = p.txnPosition, list[:mid]
		}
	}
	return nil
}

// spread returns, by offset, one entry of the index from each of many equal parts of a file that ends at end.
func spread(x *index, end int64) []entry {
	if x == nil {
		return nil
	}
	width := end/samples + 1
	first := make([]entry, samples)
	for oid, pos := range x.all() {
		if pos < end && (first[pos/width].pos == 0 || pos < first[pos/width].pos) {
			first[pos/width] = entry{oid, pos}
		}
	}
	return slices.DeleteFunc(first, func(e entry) bool { return e.pos == 0 })
}

// loadSample goes to the transaction of a record, and reports whether record and transaction are there.
func (p *headerCursor) loadSample(e entry) bool {
	var b [recHeaderLen]byte
	if e.pos+recHeaderLen > p.win.size || p.win.peek(b[:], e.pos) != nil {
		return false
	}
	var r recHeader
	r.decode(b[:])
	if r.Oid != e.oid || r.Tloc < magicLen || r.Tloc > e.pos-txnHeaderLen || p.load(r.Tloc) != nil {
		return false
	}
	if e.pos < p.first() || e.pos+recHeaderLen > p.second() {
		return false
	}
	whole, err := p.whole(&plain{file: p.win.file, path: p.src.path})
	return whole && err == nil
}
