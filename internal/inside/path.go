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
		own, _ := s.class(n)
		step := Step{Oid: s.oids.oid(n), Class: s.name(own)}
		if i > 0 && i < maxSteps {
			step.Name = s.nameIn(path[i-1].Oid, step.Oid)
		}
		path = append(path, step)
	}
	return path
}

// nameIn returns by which name an object refers to another.
func (s *Survey) nameIn(from, to zodb.Oid) string {
	data, _, err := s.st.Load(from)
	if err != nil {
		return ""
	}
	d, err := record.Decode(data, record.Limits{})
	if err != nil {
		return ""
	}
	name, _ := nameOf(d.State, to, "")
	if strings.HasPrefix(d.Class, "BTrees.") && inner[name] {
		return ""
	}
	return name
}

// inner are the names that record.Decode gives to parts of BTrees.
var inner = map[string]bool{"children": true, "first": true, "next": true}

// nameOf looks for a reference, and returns the last key on the way to it.
func nameOf(n *record.Node, to zodb.Oid, name string) (string, bool) {
	if n == nil {
		return "", false
	}
	if n.Kind == record.Ref {
		return name, n.Ref.Oid == to && n.Ref.Database == "" && !n.Ref.Weak
	}
	for _, p := range n.Pairs {
		key := name
		if p.Key.Kind == record.Text || p.Key.Kind == record.Int {
			key = p.Key.Text
		}
		if found, ok := nameOf(p.Value, to, key); ok {
			return found, true
		}
		if found, ok := nameOf(p.Key, to, name); ok {
			return found, true
		}
	}
	for _, list := range [][]*record.Node{n.Items, n.Args, {n.State}} {
		for _, v := range list {
			if found, ok := nameOf(v, to, name); ok {
				return found, true
			}
		}
	}
	return "", false
}
