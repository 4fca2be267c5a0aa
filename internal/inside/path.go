package inside

import (
	"strings"

	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/zodb"
)

// A Step is one object on the way from the root to another.
type Step struct {
	Oid   zodb.Oid `json:"oid"`
	Class string   `json:"class"`
	// Name is by which the object before refers to it: a key, or an attribute; empty inside of a BTree.
	Name string `json:"name"`
}

// A Path leads from the root, which is its first step, to an object. It is empty where no path does.
type Path []Step

// String is the names of the steps, with / between them.
func (p Path) String() string {
	if len(p) == 0 {
		return "(not reached from the root)"
	}
	var names []string
	for _, s := range p[1:] {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return "/" + strings.Join(names, "/")
}

// maxSteps bounds what is read to name a path.
const maxSteps = 200

// Path returns a shortest path to an object.
func (s *Survey) Path(oid zodb.Oid) Path {
	number, ok := s.oids.number(oid)
	if !ok {
		return nil
	}
	return s.path(number)
}

func (s *Survey) path(number uint32) (path Path) {
	for i, n := range s.walk().path(number) {
		own := s.classes[n]
		step := Step{Oid: s.oids.oid(n), Class: s.name(own)}
		if i > 0 && i < maxSteps {
			step.Name = s.nameIn(path[i-1].Oid, step.Oid)
		}
		path = append(path, step)
	}
	return path
}

// maxNames bounds how many names of references are remembered; then it begins anew.
const maxNames = 1 << 18

// nameIn returns by which name an object refers to another. Paths have their beginnings in common, and an object is
// asked for many of its references: so its names are remembered.
func (s *Survey) nameIn(from, to zodb.Oid) string {
	names, ok := s.refNames[from]
	if !ok {
		names = s.namesIn(from)
		if s.refNameCount += len(names) + 1; s.refNames == nil || s.refNameCount > maxNames {
			s.refNames, s.refNameCount = make(map[zodb.Oid]map[zodb.Oid]string), len(names)+1
		}
		s.refNames[from] = names
	}
	return names[to]
}

// namesIn returns the names by which an object refers to others; nil where its record cannot be read.
func (s *Survey) namesIn(from zodb.Oid) map[zodb.Oid]string {
	data, _, err := s.st.Load(from)
	if err != nil {
		return nil
	}
	return RefNames(data)
}

// RefNames returns the names of the references of a record by where they lead: a key, or an attribute; an empty one
// inside of a BTree. It is nil where the record cannot be read.
func RefNames(data []byte) map[zodb.Oid]string {
	d, err := record.Decode(data, record.Limits{})
	if err != nil {
		return nil
	}
	names := refNames{btree: strings.HasPrefix(d.Class, "BTrees."), of: make(map[zodb.Oid]string)}
	names.add(d.State, "")
	return names.of
}

// inner are the names that record.Decode gives to parts of BTrees.
var inner = map[string]bool{"children": true, "first": true, "next": true}

// refNames are the names of references by where they lead: the last key on the way to the first one.
type refNames struct {
	btree bool
	of    map[zodb.Oid]string
}

func (r refNames) add(n *record.Node, name string) {
	if n == nil {
		return
	}
	if n.Kind == record.Ref && n.Ref.Database == "" && !n.Ref.Weak {
		if r.btree && inner[name] {
			name = ""
		}
		if _, ok := r.of[n.Ref.Oid]; !ok {
			r.of[n.Ref.Oid] = name
		}
		return
	}
	for _, p := range n.Pairs {
		key := name
		if p.Key.Kind == record.Text || p.Key.Kind == record.Int {
			key = p.Key.Text
		}
		r.add(p.Value, key)
		r.add(p.Key, name)
	}
	for _, list := range [][]*record.Node{n.Items, n.Args, {n.State}} {
		for _, v := range list {
			r.add(v, name)
		}
	}
}
