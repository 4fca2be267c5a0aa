package filestorage

import (
	"context"
	"fmt"

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
