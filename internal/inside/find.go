package inside

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/internal/zlibrecord"
	"github.com/zrsd/zrsd/zodb"
)

// A Found is an object that was looked for.
type Found struct {
	Oid       zodb.Oid   `json:"oid"`
	Class     string     `json:"class"`
	Tid       zodb.Tid   `json:"tid"`   // of the current revision
	Bytes     int64      `json:"bytes"` // of its current record in the file, with the header
	Path      Path       `json:"path"`
	Detail    *Detail    `json:"detail,omitempty"` // where one object was asked for
	Referrers []Referrer `json:"referrers,omitempty"`
	// ReferrersAll is how many there are, of which some are listed.
	ReferrersAll int64 `json:"all_referrers,omitempty"`
}

// A Detail is all about one object.
type Detail struct {
	History []Revision      `json:"history"`
	At      zodb.Tid        `json:"at"`     // the revision that is shown
	Object  json.RawMessage `json:"object"` // a record.Decoded; null: it cannot be read
	Text    string          `json:"text"`   // its state, for people
	Why     string          `json:"why,omitempty"`
}

// A Revision is one of an object, the newest first.
type Revision struct {
	Tid         zodb.Tid  `json:"tid"`
	Time        time.Time `json:"time"`
	User        string    `json:"user"`
	Description string    `json:"description"`
	Bytes       int64     `json:"bytes"` // as of Found; of an undo, those of a record that points to an earlier one
}

// A Referrer is an object that refers to another.
type Referrer struct {
	Oid   zodb.Oid `json:"oid"`
	Class string   `json:"class"`
	Name  string   `json:"name"` // by which
	Path  Path     `json:"path"`
}

// Finds are what was found.
type Finds struct {
	Path    string   `json:"path"`
	LastTid zodb.Tid `json:"last_tid"`
	Objects []Found  `json:"objects"`
	All     int64    `json:"all"` // of which some are listed
}

// maxRevisions is how many revisions of an object are listed.
const maxRevisions = 1000

func (s *Survey) finds() *Finds {
	return &Finds{Path: s.st.Path(), LastTid: s.st.LastTid(), Objects: []Found{}}
}

func (s *Survey) found(number uint32) Found {
	own := s.classes[number]
	f := Found{Oid: s.oids.oid(number), Class: s.name(own), Bytes: s.sizes.of(number), Path: s.path(number)}
	f.Tid, _ = s.st.GetTid(f.Oid)
	return f
}

// FindOid finds an object, as it was after the transaction at; 0: as it is.
func (s *Survey) FindOid(oid zodb.Oid, at zodb.Tid, limit int) (*Finds, error) {
	number, err := s.numberOf(oid)
	if errors.Is(err, errNotThere) {
		return s.finds(), nil
	}
	if err != nil {
		return nil, err
	}
	f := s.found(number)
	f.Detail, err = s.detail(oid, at)
	if err != nil {
		return nil, err
	}
	f.Referrers, f.ReferrersAll = s.referrers(number, limit)
	finds := s.finds()
	finds.Objects, finds.All = append(finds.Objects, f), 1
	return finds, nil
}

func (s *Survey) detail(oid zodb.Oid, at zodb.Tid) (*Detail, error) {
	d := &Detail{History: []Revision{}}
	history, err := s.st.History(oid, maxRevisions)
	if err != nil {
		return nil, err
	}
	for _, h := range history {
		d.History = append(d.History, Revision{
			h.Tid, h.Tid.Time().UTC(), string(h.User), string(h.Description), h.Record,
		})
	}
	before := zodb.MaxTid
	if at != 0 && at < zodb.MaxTid {
		before = at + 1
	}
	rev, err := s.st.LoadBefore(oid, before)
	var none *zodb.POSKeyError
	switch {
	case errors.As(err, &none):
		d.Why = "the object did not exist then"
		return d, nil
	case err != nil:
		return nil, err
	case rev == nil:
		d.Why = "there is no revision as old as that"
		return d, nil
	}
	d.At = rev.Tid
	object, err := record.Decode(rev.Data, record.Limits{})
	if err != nil {
		d.Why = err.Error()
		return d, nil //nolint:nilerr // it is the answer
	}
	d.Text = object.State.String()
	d.Object, err = json.Marshal(object)
	return d, err
}

// referrers lists who refers to an object, the first ones with their names and paths.
func (s *Survey) referrers(number uint32, limit int) (list []Referrer, all int64) {
	var from []uint32
	s.eachEdge(func(f, to uint32) {
		if to == number && (len(from) == 0 || from[len(from)-1] != f) {
			from = append(from, f)
		}
	})
	for _, f := range from[:min(len(from), limit)] {
		own := s.classes[f]
		oid := s.oids.oid(f)
		list = append(list, Referrer{oid, s.name(own), s.nameIn(oid, s.oids.oid(number)), s.path(f)})
	}
	return list, int64(len(from))
}

// FindPaths finds objects that are known, for their classes and paths. It leaves out those that are not there.
func (s *Survey) FindPaths(oids []zodb.Oid) *Finds {
	finds := s.finds()
	for _, oid := range oids {
		if number, ok := s.oids.number(oid); ok && s.exists(number) {
			finds.Objects = append(finds.Objects, s.found(number))
		}
	}
	finds.All = int64(len(finds.Objects))
	return finds
}

// FindClass finds the objects of a class, module.name.
func (s *Survey) FindClass(class string, limit int) *Finds {
	finds := s.finds()
	for number := range uint32(s.oids.count) {
		own := s.classes[number]
		if own == 0 || !s.exists(number) || s.name(own) != class {
			continue
		}
		if finds.All++; len(finds.Objects) < limit {
			finds.Objects = append(finds.Objects, s.found(number))
		}
	}
	return finds
}

// HasClass reports whether records or references name a class.
func (s *Survey) HasClass(class string) bool {
	return slices.ContainsFunc(s.names.names[1:], func(name string) bool { return dotted(name) == class })
}

// FindTid finds the objects that a transaction has changed.
func (s *Survey) FindTid(ctx context.Context, tid zodb.Tid, limit int) (*Finds, error) {
	finds := s.finds()
	for txn, err := range s.st.Transactions(ctx, tid-1) {
		if err != nil {
			return nil, err
		}
		if txn.Meta().Tid != tid {
			break
		}
		for rec, err := range zodb.Records(txn) {
			if err != nil {
				return nil, err
			}
			number, ok := s.oids.number(rec.Oid)
			if !ok {
				continue
			}
			if finds.All++; len(finds.Objects) < limit {
				finds.Objects = append(finds.Objects, s.found(number))
			}
		}
		return finds, nil
	}
	return finds, nil
}

// FindText finds the objects whose current records have a text, in UTF-8, in any place.
func (s *Survey) FindText(ctx context.Context, text string, limit int) (*Finds, error) {
	var mu sync.Mutex
	var numbers []uint32
	err := s.st.VisitCurrent(ctx, filestorage.CurrentVisit{
		Workers: s.opt.Workers, Progress: s.opt.Progress, Begin: s.opt.begin,
		Visit: func(_ int, r *filestorage.CurrentRecord) error {
			data, err := zlibrecord.Unpack(r.Data, zlibrecord.Limit)
			if err != nil || !bytes.Contains(data, []byte(text)) {
				return nil
			}
			number, ok := s.oids.number(r.Oid)
			if !ok {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			numbers = append(numbers, number)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(numbers)
	finds := s.finds()
	finds.All = int64(len(numbers))
	for _, n := range numbers[:min(len(numbers), limit)] {
		finds.Objects = append(finds.Objects, s.found(n))
	}
	return finds, nil
}

// Usage is how large an object is with all that is reached through it.
type Usage struct {
	Path    string      `json:"path"`
	LastTid zodb.Tid    `json:"last_tid"`
	Of      Path        `json:"of"`
	Bytes   int64       `json:"bytes"`
	Objects int64       `json:"objects"`
	Parts   []UsagePart `json:"parts"` // the largest first
}

// A UsagePart is an object that the one before it refers to, with all that is reached through it.
type UsagePart struct {
	Oid     zodb.Oid `json:"oid"`
	Class   string   `json:"class"`
	Name    string   `json:"name"`
	Depth   int      `json:"depth"` // below the object that was asked for
	Bytes   int64    `json:"bytes"`
	Objects int64    `json:"objects"`
}

// Usage sums up an object and what is below it. Each object counts once, where the shortest path from the root leads.
func (s *Survey) Usage(oid zodb.Oid, depth, limit int) (*Usage, error) {
	top, err := s.numberOf(oid)
	if err != nil {
		return nil, err
	}
	w := s.walk()
	if !w.reached(top) {
		return nil, fmt.Errorf("object %v cannot be reached from the root: zrsd refs lists what cannot", oid)
	}
	t := usageTree{
		sums: make([]uint64, s.oids.count), counts: make([]uint32, s.oids.count), children: s.below(top, depth),
	}
	for number := range uint32(s.oids.count) {
		t.sums[number], t.counts[number] = uint64(s.sizes.of(number)), 1
	}
	w.upwards(func(number, parent uint32) {
		t.sums[parent] += t.sums[number]
		t.counts[parent] += t.counts[number]
	})
	u := &Usage{
		Path: s.st.Path(), LastTid: s.st.LastTid(), Of: s.path(top), Bytes: int64(t.sums[top]),
		Objects: int64(t.counts[top]), Parts: []UsagePart{},
	}
	s.addParts(u, t, top, 1, limit)
	return u, nil
}

// below returns what is right below an object, and below that, down to a depth.
func (s *Survey) below(top uint32, depth int) map[uint32][]uint32 {
	children := make(map[uint32][]uint32)
	level := []uint32{top}
	var to []uint32
	for ; depth > 0 && len(level) > 0; depth-- {
		var next []uint32
		for _, from := range level {
			to = s.edges.of(from, to[:0])
			for _, t := range slices.Compact(to) {
				if s.ways.above(t) == from {
					children[from] = append(children[from], t)
					next = append(next, t)
				}
			}
		}
		level = next
	}
	return children
}

type usageTree struct {
	sums     []uint64
	counts   []uint32
	children map[uint32][]uint32
}

// addParts adds the largest parts of an object, each followed by its own.
func (s *Survey) addParts(u *Usage, t usageTree, number uint32, depth, limit int) {
	list := t.children[number]
	slices.SortFunc(list, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(t.sums[b], t.sums[a]), cmp.Compare(a, b))
	})
	for _, n := range list[:min(len(list), limit)] {
		own := s.classes[n]
		u.Parts = append(u.Parts, UsagePart{
			Oid: s.oids.oid(n), Class: s.name(own), Name: s.nameIn(s.oids.oid(number), s.oids.oid(n)), Depth: depth,
			Bytes: int64(t.sums[n]), Objects: int64(t.counts[n]),
		})
		s.addParts(u, t, n, depth+1, limit)
	}
}
