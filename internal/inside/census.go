package inside

import (
	"cmp"
	"context"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// shownOids is how many oids of a class, or members of a cycle, are shown.
const shownOids = 3

// A Census counts the classes of a storage.
type Census struct {
	Path       string       `json:"path"`
	LastTid    zodb.Tid     `json:"last_tid"`
	Objects    int64        `json:"objects"`
	Bytes      int64        `json:"bytes"` // of their current records
	Classes    []ClassCount `json:"classes"`
	Mismatches []Mismatch   `json:"mismatches"`
	Unread     []Unread     `json:"unread"`
}

// A ClassCount is what there is of a class, the largest share first.
type ClassCount struct {
	Class      string     `json:"class"`
	Objects    int64      `json:"objects"` // whose record names it
	Bytes      int64      `json:"bytes"`
	Share      float64    `json:"share"`      // of the bytes of all current records
	References int64      `json:"references"` // that name it
	First      []zodb.Oid `json:"first_oids"`
}

// An Unread object has a record that cannot be read.
type Unread struct {
	Oid  zodb.Oid `json:"oid"`
	Why  string   `json:"why"`
	Path Path     `json:"path"`
}

// Census counts classes. A Limit of examples is shown of each mismatch.
func (s *Survey) Census(ctx context.Context, limit int) (*Census, error) {
	suspect := s.anySuspect()
	if suspect || len(s.findings.unread) > 0 { // paths are shown
		if err := s.connect(ctx); err != nil {
			return nil, err
		}
	}
	c := &Census{
		Path: s.st.Path(), LastTid: s.st.LastTid(), Objects: s.findings.records - int64(len(s.findings.gone)),
		Bytes: s.findings.bytes, Unread: s.unread(limit), Classes: s.counts(), Mismatches: []Mismatch{},
	}
	if !suspect {
		return c, nil
	}
	var err error
	c.Mismatches, err = s.mismatches(ctx, limit)
	return c, err
}

func (s *Survey) counts() []ClassCount {
	counts := make([]ClassCount, len(s.names.names))
	for number := range uint32(s.oids.count) {
		if !s.exists(number) {
			continue
		}
		own := s.classes[number]
		c := &counts[own]
		c.Objects++
		c.Bytes += s.sizes.of(number)
		if len(c.First) < shownOids {
			c.First = append(c.First, s.oids.oid(number))
		}
	}
	for id := range counts {
		c := &counts[id]
		c.Class = s.name(classID(id))
		if id > 0 && id < len(s.findings.named) {
			c.References = s.findings.named[id]
		}
		if s.findings.bytes > 0 {
			c.Share = float64(c.Bytes) / float64(s.findings.bytes)
		}
		if c.First == nil {
			c.First = []zodb.Oid{}
		}
	}
	counts = slices.DeleteFunc(counts, func(c ClassCount) bool { return c.Objects+c.References == 0 })
	slices.SortFunc(counts, func(a, b ClassCount) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Class, b.Class))
	})
	return counts
}

func (s *Survey) unread(limit int) []Unread {
	list := []Unread{}
	for _, number := range sortedKeys(s.findings.unread) {
		if len(list) == limit {
			break
		}
		list = append(list, Unread{s.oids.oid(number), s.findings.unread[number], s.path(number)})
	}
	return list
}

func sortedKeys[V any](m map[uint32]V) []uint32 {
	keys := make([]uint32, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
