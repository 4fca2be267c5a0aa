package filestorage

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// correctIndex corrects an index that was made of a damaged file: a record had another oid, or did not count. The
// saved one has been removed, and is saved again.
func (s *Storage) correctIndex(ctx context.Context, e *openDataFile, wrong []relabelled) error {
	strays := map[zodb.Oid]int64{} // oids that lead to a record of another one
	for _, w := range wrong {
		if pos, ok := e.index.get(w.was); ok && pos == w.pos && w.was != w.is {
			strays[w.was] = 0
		}
	}
	if err := e.findLast(ctx, strays); err != nil {
		return fmt.Errorf("the file is repaired; correct its index: %w; restart zrsd", err)
	}
	s.view.Lock()
	for _, w := range wrong {
		if pos, ok := e.index.get(w.was); ok && pos == w.pos && w.was != w.is {
			e.index.put(w.was, strays[w.was])
		}
		if pos, _ := e.index.get(w.is); pos < w.pos {
			e.index.set(w.is, w.pos)
		}
	}
	s.view.Unlock()
	s.saveIndexAt(e.size())
	return nil
}

// findLast fills in the offsets of the last records of some objects, by reading all of the file.
func (e *openDataFile) findLast(ctx context.Context, of map[zodb.Oid]int64) error {
	if len(of) == 0 {
		return nil
	}
	w := newWalker(ctx, e.file, e.path, magicLen, e.size())
	return w.each(func() error {
		if w.txn.Status == zodb.StatusUndone {
			return nil
		}
		return w.records(func(r record) error {
			if _, asked := of[r.Oid]; asked {
				of[r.Oid] = r.pos
			}
			return nil
		})
	})
}

// put makes pos the offset of oid, or, where it is 0, leaves oid without one. Who calls it is the only one who writes.
func (x *index) put(oid zodb.Oid, pos int64) {
	if pos != 0 {
		x.set(oid, pos)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	i := x.find(oid)
	if i < 0 {
		return
	}
	if l := &x.dir[i]; l.page != nil {
		if l.pageHas(oid) && l.page[oid%pageOids].Swap(0) != 0 {
			x.n.Add(-1)
		}
	} else if j, ok := search(l.list, oid); ok {
		l.list = append(l.list[:j:j], l.list[j+1:]...)
		x.n.Add(-1)
	}
	if len(x.dir[i].from(0, nil)) == 0 {
		x.dir = append(x.dir[:i:i], x.dir[i+1:]...)
		x.last = leaf{}
	}
}

// Reindex reads all of the file, corrects what the index has otherwise, and saves it. Commits and readers go on. It
// returns how many entries were wrong.
func (s *Storage) Reindex(ctx context.Context) (corrected int, err error) {
	done, err := s.beginRepair()
	if err != nil {
		return 0, fmt.Errorf("index %s again: %w", s.path, err)
	}
	defer done()
	s.indexSaver.pause()
	defer s.indexSaver.resume()
	e := s.hold()
	defer e.release()
	end := e.size()
	c := newScan(ctx, e.file, e.path, end)
	if err := c.run(); err != nil {
		return 0, fmt.Errorf("index %s again: %w", s.path, err)
	}
	if c.pos != end {
		return 0, fmt.Errorf("index %s again: %w", s.path, c.corrupt(c.pos, "a finished transaction", "another one"))
	}
	corrected = s.take(e, c.index, end)
	if corrected > 0 {
		s.log.Warn("the index had wrong entries, which were corrected by reading the file", "file", s.path, "entries",
			corrected, "warning", warning.Damaged)
	}
	s.saveIndexAt(e.size())
	return corrected, nil
}

// take gives the index of a data file the entries that another one has, for what is in front of end.
func (s *Storage) take(e *openDataFile, right *index, end int64) (corrected int) {
	correct := func(oid zodb.Oid, pos int64) {
		s.view.Lock()
		defer s.view.Unlock()
		if now, _ := e.index.get(oid); now < end && now != pos {
			e.index.put(oid, pos)
			corrected++
		}
	}
	for oid, pos := range right.all() {
		if now, _ := e.index.get(oid); now < end && now != pos {
			correct(oid, pos)
		}
	}
	for oid := range e.index.all() {
		if _, there := right.get(oid); !there {
			correct(oid, 0)
		}
	}
	return corrected
}

// nearSamples is how many records in front of an offset are tried for one whose transaction is whole.
const nearSamples = 64

// Boundary returns where a transaction begins, at or before pos, up to which the file is whole as far as it was looked
// at: near pos, unless much before it is damaged. It needs no more of the file than some headers, but all of the index.
func (s *Storage) Boundary(ctx context.Context, pos int64) (int64, error) {
	src := s.sourceOf(s.hold(), nil)
	defer src.release() //nolint:errcheck // only read
	p, err := src.headerCursor()
	if err != nil {
		return 0, err
	}
	list := entriesBefore(src.index(), pos)
	for i := len(list) - 1; i >= 0; i-- {
		if at := list[i]; p.loadSample(at) && p.pos > magicLen && p.begins(ctx) {
			return p.last(ctx, pos)
		}
	}
	if err := p.load(magicLen); err != nil {
		return magicLen, nil // the first one is damaged
	}
	return p.last(ctx, pos)
}

// entriesBefore returns the last entries of an index in front of pos, ascending.
func entriesBefore(x *index, pos int64) (list []entry) {
	byPos := func(e entry, pos int64) int { return cmp.Compare(e.pos, pos) }
	for oid, at := range x.all() {
		if at > pos || len(list) == nearSamples && at < list[0].pos {
			continue
		}
		i, _ := slices.BinarySearchFunc(list, at, byPos)
		list = slices.Insert(list, i, entry{oid, at})
		list = list[max(len(list)-nearSamples, 0):]
	}
	return list
}

// begins reports whether a transaction ends where the cursor is.
func (p *headerCursor) begins(ctx context.Context) bool {
	c := scan{ctx: ctx, file: p.win.file, path: p.src.path, size: p.win.size}
	_, err := c.before(p.pos, new(txnHeader))
	return err == nil
}

// last goes on to the transaction that has pos, or to the last one before damage.
func (p *headerCursor) last(ctx context.Context, pos int64) (int64, error) {
	for {
		here := p.pos
		if p.atEnd() || p.after() > pos || p.next() != nil {
			return here, context.Cause(ctx)
		}
	}
}
