package filestorage

import (
	"iter"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// An index maps each oid to the offset of its current record. Entries are added and changed, never removed: a deleted
// object keeps the entry of its deletion.
//
// The oids are cut into leaves, kept in one ascending directory. Where oids are dense, a leaf is a page: 8 bytes for
// each of 256 consecutive oids. Elsewhere it is a sorted list of entries of 16 bytes, which may span any number of
// pages. Once a list holds half a page it gives that page up; once it is long it is cut in two, between pages.
//
//	dir   [ page 0..255 ][ page 256..511 ][ list 512.. ]      [ list 8000000000000000.. ]
//
// One goroutine may call set; all other methods may run at the same time as it and as each other.
type index struct {
	n    atomic.Int64
	mu   sync.RWMutex // held to change dir or a list in it; the writer itself reads both without it
	dir  []leaf       // ascending
	last leaf         // the page written last, the writer's shortcut
}

const (
	pageOids  = 256
	denseAt   = pageOids / 2 // entries of 16 bytes that take as much memory as a page
	listLimit = 256
)

type leaf struct {
	first zodb.Oid // the leaf holds no smaller oid; a multiple of pageOids
	page  *page    // nil: the leaf is a list
	list  []entry  // ascending
}

// A page holds the offsets of pageOids consecutive oids, 0 for an absent one.
type page [pageOids]atomic.Uint64

type entry struct {
	oid zodb.Oid
	pos int64
}

func newIndex() *index { return &index{} }

// len returns the number of entries.
func (x *index) len() int { return int(x.n.Load()) }

// get returns the offset of the current record of oid.
func (x *index) get(oid zodb.Oid) (pos int64, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.lookUp(oid)
}

// current leaves of records those that are the current ones of their objects.
func (x *index) current(records []blockRecord) []blockRecord {
	x.mu.RLock()
	defer x.mu.RUnlock()
	left, i := records[:0], -1
	for n := range records {
		oid := records[n].oid
		if i < 0 || oid < x.dir[i].first || i+1 < len(x.dir) && oid >= x.dir[i+1].first { // not near the one before
			if i = x.find(oid); i < 0 {
				continue
			}
		}
		if pos, ok := x.dir[i].lookUp(oid); ok && pos == records[n].pos {
			left = append(left, records[n])
		}
	}
	return left
}

// lookUp is get with mu held.
func (x *index) lookUp(oid zodb.Oid) (pos int64, ok bool) {
	i := x.find(oid)
	if i < 0 {
		return 0, false
	}
	return x.dir[i].lookUp(oid)
}

// lookUp returns the offset of oid, which no other leaf has.
func (l *leaf) lookUp(oid zodb.Oid) (pos int64, ok bool) {
	if l.page == nil {
		if j, ok := search(l.list, oid); ok {
			return l.list[j].pos, true
		}
		return 0, false
	}
	if !l.pageHas(oid) {
		return 0, false
	}
	pos = int64(l.page[oid%pageOids].Load())
	return pos, pos != 0
}

// set makes pos, which must be above 0, the offset of oid.
func (x *index) set(oid zodb.Oid, pos int64) {
	if x.last.pageHas(oid) {
		x.setInPage(x.last.page, oid, pos)
		return
	}
	i := x.find(oid)
	if i >= 0 && x.dir[i].pageHas(oid) {
		x.last = x.dir[i]
		x.setInPage(x.last.page, oid, pos)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setInList(x.listFor(i, oid), oid, pos)
}

// setRun sets ascending entries of one page. Where they make a page and come after all others, as while a file is
// loaded, it saves the detour over a list.
func (x *index) setRun(run []entry) {
	if last, ok := x.maxOid(); len(run) < denseAt || ok && last >= run[0].oid {
		for _, e := range run {
			x.set(e.oid, e.pos)
		}
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dir = append(x.dir, newPage(run))
	x.n.Add(int64(len(run)))
}

// maxOid returns the largest oid; ok is false when there is none.
func (x *index) maxOid() (oid zodb.Oid, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.dir) == 0 {
		return 0, false
	}
	var buf [pageOids]entry
	entries := x.dir[len(x.dir)-1].from(0, buf[:0])
	return entries[len(entries)-1].oid, true
}

// next returns the smallest oid that is not below oid, and its offset.
func (x *index) next(oid zodb.Oid) (zodb.Oid, int64, bool) {
	var buf [pageOids]entry
	entries := x.chunk(oid, buf[:0])
	if len(entries) == 0 {
		return 0, 0, false
	}
	return entries[0].oid, entries[0].pos, true
}

// all yields the entries in ascending order. Entries that are set meanwhile may or may not be among them.
func (x *index) all() iter.Seq2[zodb.Oid, int64] {
	return func(yield func(zodb.Oid, int64) bool) {
		var buf [pageOids]entry
		for entries := x.chunk(0, buf[:0]); len(entries) > 0; {
			for _, e := range entries {
				if !yield(e.oid, e.pos) {
					return
				}
			}
			after := entries[len(entries)-1].oid + 1
			if after == 0 {
				return
			}
			entries = x.chunk(after, buf[:0])
		}
	}
}

// chunk appends to buf the entries not below oid of the first leaf that has any.
func (x *index) chunk(oid zodb.Oid, buf []entry) []entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for i := max(x.find(oid), 0); i < len(x.dir) && len(buf) == 0; i++ {
		buf = x.dir[i].from(oid, buf)
	}
	return buf
}

// find returns the number of the last leaf that begins at or below oid, -1 when there is none.
func (x *index) find(oid zodb.Oid) int {
	return sort.Search(len(x.dir), func(i int) bool { return x.dir[i].first > oid }) - 1
}

func (x *index) setInPage(p *page, oid zodb.Oid, pos int64) {
	if p[oid%pageOids].Swap(uint64(pos)) == 0 {
		x.n.Add(1)
	}
}

// listFor returns the number of the list that oid belongs into; no page has it, and leaf i is the last one that begins
// at or below it. Where there is no list between the pages around oid one is made.
func (x *index) listFor(i int, oid zodb.Oid) int {
	if i >= 0 && x.dir[i].page == nil {
		return i
	}
	i++
	if i < len(x.dir) && x.dir[i].page == nil {
		x.dir[i].first = pageStart(oid)
	} else {
		x.dir = slices.Insert(x.dir, i, leaf{first: pageStart(oid)})
	}
	return i
}

func (x *index) setInList(i int, oid zodb.Oid, pos int64) {
	l := &x.dir[i]
	j, found := search(l.list, oid)
	if found {
		l.list[j].pos = pos
		return
	}
	l.list = slices.Insert(l.list, j, entry{oid, pos})
	x.n.Add(1)
	if len(l.list) < denseAt {
		return
	}
	from, _ := search(l.list, pageStart(oid))
	to, found := search(l.list, pageStart(oid)+pageOids-1)
	if found {
		to++
	}
	switch {
	case to-from == denseAt:
		x.makePage(i, from, to)
	case len(l.list) == listLimit:
		x.split(i)
	}
}

// makePage turns the entries [from, to) of list i, all those of one page, into that page.
func (x *index) makePage(i, from, to int) {
	l := x.dir[i]
	p := newPage(l.list[from:to])
	var leaves []leaf
	if from > 0 {
		leaves = append(leaves, leaf{first: l.first, list: slices.Clone(l.list[:from])})
	}
	leaves = append(leaves, p)
	if to < len(l.list) {
		leaves = append(leaves, leaf{first: p.first + pageOids, list: slices.Clone(l.list[to:])})
	}
	x.dir = slices.Replace(x.dir, i, i+1, leaves...)
	x.last = p
}

// newPage makes a page of its entries.
func newPage(entries []entry) leaf {
	l := leaf{first: pageStart(entries[0].oid), page: new(page)}
	for _, e := range entries {
		l.page[e.oid%pageOids].Store(uint64(e.pos))
	}
	return l
}

// split cuts list i in two where the page of its middle entry begins. No page has half of the entries, so neither part
// is empty.
func (x *index) split(i int) {
	l := x.dir[i]
	first := pageStart(l.list[len(l.list)/2].oid)
	j, _ := search(l.list, first)
	x.dir[i].list = slices.Clone(l.list[:j])
	x.dir = slices.Insert(x.dir, i+1, leaf{first: first, list: slices.Clone(l.list[j:])})
}

// pageHas reports whether the leaf is the page that oid belongs into.
func (l *leaf) pageHas(oid zodb.Oid) bool { return l.page != nil && pageStart(oid) == l.first }

// from appends the leaf's entries that are not below oid.
func (l *leaf) from(oid zodb.Oid, buf []entry) []entry {
	if l.page == nil {
		j, _ := search(l.list, oid)
		return append(buf, l.list[j:]...)
	}
	for i := range l.page {
		pos := int64(l.page[i].Load())
		if at := l.first + zodb.Oid(i); pos != 0 && at >= oid {
			buf = append(buf, entry{at, pos})
		}
	}
	return buf
}

func pageStart(oid zodb.Oid) zodb.Oid { return oid &^ (pageOids - 1) }

func search(list []entry, oid zodb.Oid) (int, bool) {
	i := sort.Search(len(list), func(i int) bool { return list[i].oid >= oid })
	return i, i < len(list) && list[i].oid == oid
}

// Offsets maps oids to offsets of records, in about 9 bytes for each of many neighbouring oids. It is for one
// goroutine.
type Offsets struct{ x *index }

// NewOffsets returns an empty map.
func NewOffsets() *Offsets { return &Offsets{newIndex()} }

// SavedIndex reads the index file of the Data.fs at path, and returns with it the size that the Data.fs had when it was
// saved. disk nil: the real one. The error wraps fs.ErrNotExist when there is none.
func SavedIndex(disk vfs.FS, path string) (*Offsets, int64, error) {
	x, pos, err := loadIndex(vfs.OrOS(disk), path+".index")
	if err != nil {
		return nil, 0, err
	}
	return &Offsets{x}, pos, nil
}

// Get returns the offset of oid, 0 when it has none.
func (o *Offsets) Get(oid zodb.Oid) int64 {
	pos, _ := o.x.get(oid)
	return pos
}

// Set makes pos, which must be above 0, the offset of oid.
func (o *Offsets) Set(oid zodb.Oid, pos int64) { o.x.set(oid, pos) }

// Len returns the number of oids.
func (o *Offsets) Len() int { return o.x.len() }

// All yields oids and their offsets, in ascending order of oids.
func (o *Offsets) All() iter.Seq2[zodb.Oid, int64] { return o.x.all() }
