package inside

import (
	"cmp"
	"context"
	"slices"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/zodb"
)

// A Mismatch is a class that references believe in where the records of their objects say another one. Who follows such
// a reference first gets an object of the wrong class, and keeps it as long as it is in the cache of the process.
type Mismatch struct {
	Believed   string           `json:"believed"`
	Record     string           `json:"record"`
	References int64            `json:"references"`
	Examples   []WrongReference `json:"examples"`
}

// A WrongReference is one of a Mismatch.
type WrongReference struct {
	From      zodb.Oid `json:"from"`
	FromClass string   `json:"from_class"`
	FromTid   zodb.Tid `json:"from_tid"` // that wrote the record with the reference
	FromPath  Path     `json:"from_path"`
	To        zodb.Oid `json:"to"`
	ToTid     zodb.Tid `json:"to_tid"` // that wrote the record of the object
	// MadeBy is the transaction since which they differ, as far as the history is there.
	MadeBy zodb.Tid `json:"made_by"`
}

type mismatchKey struct{ believed, record classID }

type wrongReference struct{ from, to uint32 }

// A mismatchFinder is a worker of the second pass.
type mismatchFinder struct {
	*Survey
	scanner  references.Scanner
	contents references.Contents
	names    nameCache
	counts   map[mismatchKey]int64
	examples map[mismatchKey][]wrongReference
	limit    int
}

// mismatches reads the storage again, for the references to suspects.
func (s *Survey) mismatches(ctx context.Context, limit int) ([]Mismatch, error) {
	workers := make([]*mismatchFinder, s.opt.Workers)
	for i := range workers {
		workers[i] = &mismatchFinder{
			Survey: s, names: nameCache{classNames: s.names, seen: make(map[string]classID)}, limit: limit,
			counts: make(map[mismatchKey]int64), examples: make(map[mismatchKey][]wrongReference),
		}
	}
	err := s.visit(ctx, func(worker int, r *filestorage.CurrentRecord) error { return workers[worker].visit(r) })
	if err != nil {
		return nil, err
	}
	all := workers[0]
	for _, w := range workers[1:] {
		for key, n := range w.counts {
			all.counts[key] += n
			all.examples[key] = append(all.examples[key], w.examples[key]...)
		}
	}
	list := []Mismatch{}
	for key, n := range all.counts {
		m := Mismatch{Believed: s.name(key.believed), Record: s.name(key.record), References: n}
		m.Examples = s.examples(key, all.examples[key], limit)
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Mismatch) int {
		return cmp.Or(cmp.Compare(b.References, a.References), cmp.Compare(a.Believed, b.Believed),
			cmp.Compare(a.Record, b.Record))
	})
	return list, nil
}

func (w *mismatchFinder) visit(r *filestorage.CurrentRecord) error {
	number, ok := w.oids.number(r.Oid)
	if !ok || r.Data == nil || r.Err != nil || w.opt.scan(&w.scanner, r.Data, &w.contents) != nil {
		return nil //nolint:nilerr // told by the first pass
	}
	for i := range w.contents.References {
		ref := &w.contents.References[i]
		to, ok := w.oids.number(ref.Oid)
		if ref.Weak || ref.Database.Len > 0 || ref.Class < 0 || !ok || !w.isSuspect(to) {
			continue
		}
		module, name := w.contents.Names(ref.Class)
		believed, err := w.names.id(module, name)
		if err != nil {
			return err
		}
		own := w.classes[to]
		if believed == own {
			continue
		}
		key := mismatchKey{believed, own}
		w.counts[key]++
		if len(w.examples[key]) < w.limit {
			w.examples[key] = append(w.examples[key], wrongReference{number, to})
		}
	}
	return nil
}

// examples describes some of the references.
func (s *Survey) examples(key mismatchKey, found []wrongReference, limit int) []WrongReference {
	slices.SortFunc(found, func(a, b wrongReference) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	found = slices.Compact(found)
	list := []WrongReference{}
	for _, f := range found[:min(len(found), limit)] {
		own := s.classes[f.from]
		w := WrongReference{From: s.oids.oid(f.from), To: s.oids.oid(f.to), FromClass: s.name(own)}
		w.FromPath = s.path(f.from)
		believed, record := s.names.names[key.believed], s.names.names[key.record]
		var believes, says zodb.Tid
		w.FromTid, believes = s.since(w.From, func(c *references.Contents) bool {
			return slices.ContainsFunc(c.References, func(r references.Reference) bool {
				return r.Oid == w.To && r.Class >= 0 && joined(c, r.Class) == believed
			})
		})
		w.ToTid, says = s.since(w.To, func(c *references.Contents) bool {
			return c.Class >= 0 && joined(c, c.Class) == record
		})
		w.MadeBy = max(believes, says)
		list = append(list, w)
	}
	return list
}

// maxHistory bounds how far back it is looked for what made a mismatch.
const maxHistory = 1000

// since returns the current revision of an object, and the first one of those up to it of which something is true.
func (s *Survey) since(oid zodb.Oid, is func(*references.Contents) bool) (current, first zodb.Tid) {
	var scanner references.Scanner
	var contents references.Contents
	before := zodb.MaxTid
	for range maxHistory {
		rev, err := s.st.LoadBefore(oid, before)
		if err != nil || rev == nil {
			break
		}
		if current == 0 {
			current = rev.Tid
		}
		if scanner.Read(rev.Data, &contents) != nil || !is(&contents) {
			break
		}
		first, before = rev.Tid, rev.Tid
	}
	return current, first
}

// joined returns a class as classNames has it.
func joined(c *references.Contents, mention int) string {
	module, name := c.Names(mention)
	return string(module) + "\n" + string(name)
}
