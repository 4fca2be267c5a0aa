package inside

import (
	"cmp"
	"slices"

	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/zodb"
)

// Refs are what is wrong with the references of a storage, and what nothing refers to.
type Refs struct {
	Path        string      `json:"path"`
	LastTid     zodb.Tid    `json:"last_tid"`
	Objects     int64       `json:"objects"`
	References  int64       `json:"references"`
	Weak        int64       `json:"weak_references"`
	Dangling    []Dangling  `json:"dangling"`
	DanglingAll int64       `json:"dangling_references"` // of which some are listed
	Unread      []Unread    `json:"unread"`
	Databases   []Database  `json:"databases"`
	Unreachable Unreachable `json:"unreachable"`
}

// The reasons of a Dangling.
const (
	Missing    = "missing"
	Gone       = "deleted, or its creation was undone"
	Unreadable = "its record cannot be read"
)

// A Dangling is a reference to an object that cannot be loaded.
type Dangling struct {
	To        zodb.Oid `json:"to"`
	Class     string   `json:"class"` // that the reference names
	Reason    string   `json:"reason"`
	From      zodb.Oid `json:"from"`
	FromClass string   `json:"from_class"`
	FromTid   zodb.Tid `json:"from_tid"`
	FromPath  Path     `json:"from_path"`
}

// Unreachable are objects that the next pack would remove.
type Unreachable struct {
	Objects int64        `json:"objects"`
	Bytes   int64        `json:"bytes"`
	Classes []ClassCount `json:"classes"`
	// Cycles are those that are kept only by themselves: each of their objects can be reached from each other one.
	Cycles      []Group `json:"cycles"`
	CyclesAll   int64   `json:"all_cycles"`
	CyclesBytes int64   `json:"cycle_bytes"`
}

// A Group is a set of objects.
type Group struct {
	Objects int64      `json:"objects"`
	Bytes   int64      `json:"bytes"`
	First   []zodb.Oid `json:"first_oids"`
	Classes []string   `json:"classes"` // of those
}

// Refs lists what is wrong, at most limit of each kind.
func (s *Survey) Refs(limit int) *Refs {
	r := &Refs{
		Path: s.st.Path(), LastTid: s.st.LastTid(), Objects: s.findings.records - int64(len(s.findings.gone)),
		Weak: s.findings.weak, Unread: s.unread(limit),
	}
	for _, n := range s.findings.named {
		r.References += n
	}
	r.Dangling, r.DanglingAll = s.dangling(limit)
	r.Databases = s.databases()
	r.Unreachable = s.unreachable(limit)
	return r
}

// dangling are references to what is missing, in the order of who has them, and to what cannot be loaded.
func (s *Survey) dangling(limit int) (list []Dangling, all int64) {
	type found struct {
		from   uint32
		to     zodb.Oid
		reason string
	}
	var finds []found
	for _, d := range s.findings.dangling {
		finds = append(finds, found{d.from, d.to, Missing})
	}
	if len(s.findings.gone)+len(s.findings.unread) > 0 {
		s.eachEdge(func(from, to uint32) {
			if s.findings.gone[to] {
				finds = append(finds, found{from, s.oids.oid(to), Gone})
			} else if _, is := s.findings.unread[to]; is {
				finds = append(finds, found{from, s.oids.oid(to), Unreadable})
			}
		})
	}
	slices.SortFunc(finds, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	finds = slices.Compact(finds)
	list = []Dangling{}
	for _, f := range finds[:min(len(finds), limit)] {
		own := s.classes[f.from]
		d := Dangling{
			To: f.to, Reason: f.reason, From: s.oids.oid(f.from), FromClass: s.name(own), FromPath: s.path(f.from),
		}
		d.Class, d.FromTid = s.believedBy(d.From, d.To)
		list = append(list, d)
	}
	return list, int64(len(finds))
}

// believedBy returns the class that an object believes another one to have.
func (s *Survey) believedBy(from, to zodb.Oid) (class string, tid zodb.Tid) {
	data, tid, err := s.st.Load(from)
	if err != nil {
		return "", 0
	}
	d, err := record.Decode(data, record.Limits{})
	if err != nil {
		return "", tid
	}
	for _, r := range d.References {
		if r.Oid == to && r.Database == "" && !r.Weak {
			return r.Class, tid
		}
	}
	return "", tid
}

func (s *Survey) eachEdge(do func(from, to uint32)) {
	var to []uint32
	for from := range uint32(s.oids.count) {
		to = s.edges.of(from, to[:0])
		for _, t := range to {
			do(from, t)
		}
	}
}

// unreachable are the objects that no path leads to.
func (s *Survey) unreachable(limit int) Unreachable {
	u := Unreachable{Cycles: []Group{}, Classes: []ClassCount{}}
	w := s.walk()
	counts := make(map[classID]*ClassCount)
	for number := range uint32(s.oids.count) {
		if w.reached(number) || !s.exists(number) {
			continue
		}
		own := s.classes[number]
		c := counts[own]
		if c == nil {
			c = &ClassCount{Class: s.name(own)}
			counts[own] = c
		}
		c.Objects++
		c.Bytes += s.sizes.of(number)
		if len(c.First) < shownOids {
			c.First = append(c.First, s.oids.oid(number))
		}
		u.Objects++
		u.Bytes += s.sizes.of(number)
	}
	for _, c := range counts {
		c.Share = float64(c.Bytes) / float64(max(u.Bytes, 1))
		u.Classes = append(u.Classes, *c)
	}
	slices.SortFunc(u.Classes, func(a, b ClassCount) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Class, b.Class))
	})
	if u.Objects == 0 {
		return u
	}
	for _, members := range s.cycles(w) {
		g := s.group(members)
		u.CyclesAll++
		u.CyclesBytes += g.Bytes
		u.Cycles = append(u.Cycles, g)
	}
	slices.SortStableFunc(u.Cycles, func(a, b Group) int { return cmp.Compare(b.Bytes, a.Bytes) })
	u.Cycles = u.Cycles[:min(len(u.Cycles), limit)]
	return u
}

func (s *Survey) group(members []uint32) (g Group) {
	slices.Sort(members)
	for _, m := range members {
		g.Objects++
		g.Bytes += s.sizes.of(m)
		if len(g.First) < shownOids {
			own := s.classes[m]
			g.First = append(g.First, s.oids.oid(m))
			g.Classes = append(g.Classes, s.name(own))
		}
	}
	return g
}
