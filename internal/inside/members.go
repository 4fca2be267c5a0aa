package inside

import (
	"context"
	"slices"
	"strings"

	"github.com/zrsd/zrsd/zodb"
)

// OpenSurvey makes a survey of the storage at a path, as it was after the last transaction whose tid is not above tid;
// zodb.MaxTid: as it is now. The caller closes it.
func OpenSurvey(ctx context.Context, path string, tid zodb.Tid, opt Options) (*Survey, error) {
	return surveyAt(ctx, path, tid, opt)
}

// Close closes the storage of a survey that OpenSurvey has made.
func (s *Survey) Close() error { return s.st.Close() }

// LastTid is the tid of the last transaction of what was surveyed.
func (s *Survey) LastTid() zodb.Tid { return s.st.LastTid() }

// Members are the objects whose records name a class.
type Members struct {
	Class string
	Oids  []zodb.Oid // ascending
}

// Members returns the existing objects by their classes, ordered by name; "?" is of records that name none. reached:
// only those that the root leads to.
func (s *Survey) Members(reached bool) (list []Members) {
	byName := make(map[string]*Members)
	w := s.walk()
	for number := range uint32(s.oids.count) {
		if !s.exists(number) || reached && !w.reached(number) {
			continue
		}
		name := s.className(number)
		m := byName[name]
		if m == nil {
			m = &Members{Class: name}
			byName[name] = m
		}
		m.Oids = append(m.Oids, s.oids.oid(number))
	}
	for _, m := range byName {
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b Members) int { return strings.Compare(a.Class, b.Class) })
	return list
}

// Load returns the record of an object. Unlike the other methods it may be called concurrently.
func (s *Survey) Load(oid zodb.Oid) ([]byte, zodb.Tid, error) { return s.st.Load(oid) }

// Top returns the topmost of the objects that lead to one from above, as far as inner returns true for their classes;
// the object itself where it does not.
func (s *Survey) Top(oid zodb.Oid, inner func(class string) bool) zodb.Oid {
	number, ok := s.oids.number(oid)
	if !ok {
		return oid
	}
	w := s.walk()
	for above := w.above(number); above != none && inner(s.className(above)); above = w.above(number) {
		number = above
	}
	return s.oids.oid(number)
}

// RecordSize is how many bytes the record of an object has in the file, 4 GiB at most; 0: there is none.
func (s *Survey) RecordSize(oid zodb.Oid) int64 {
	number, ok := s.oids.number(oid)
	if !ok {
		return 0
	}
	return s.sizes.of(number)
}
