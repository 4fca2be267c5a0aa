package inside

import (
	"bytes"

	"github.com/zrsd/zrsd/internal/record"
)

// A Difference is a value of a state that is another one at a later moment.
type Difference struct {
	Name     string       // of the attribute, with those that it is in: entries.title
	From, To *record.Node // nil: there is none
}

// Values are the two values as JSON; – is none.
func (d *Difference) Values() (from, to string) {
	text := func(n *record.Node) string {
		if n == nil {
			return "–"
		}
		return string(jsonOf(n))
	}
	return text(d.From), text(d.To)
}

// Differences returns in which values the states differ, where they are known. What was created or deleted differs from
// an empty state.
func (c *ObjectChange) Differences() []Difference {
	from, to := &record.Node{Kind: record.Dict}, &record.Node{Kind: record.Dict}
	if c.Change != Created {
		from = c.From.State
	}
	if c.Change != Deleted {
		to = c.To.State
	}
	if from == nil || to == nil {
		return nil
	}
	return Differences(from, to)
}

// Differences returns in which values two states differ. It looks into dictionaries and objects of the same class; all
// else is one value.
func Differences(from, to *record.Node) (list []Difference) {
	differences("", from, to, &list)
	return list
}

func differences(name string, a, b *record.Node, list *[]Difference) {
	switch {
	case a != nil && b != nil && a.Kind == record.Dict && b.Kind == record.Dict:
		inDicts(name, a, b, list)
	case a != nil && b != nil && sameShell(a, b):
		differences(name, a.State, b.State, list)
	case !sameNode(a, b):
		*list = append(*list, Difference{name, a, b})
	}
}

// sameShell reports whether two objects differ in their states at most, and have one each.
func sameShell(a, b *record.Node) bool {
	if a.Kind != record.Object || b.Kind != record.Object || a.State == nil || b.State == nil {
		return false
	}
	bare := func(n *record.Node) *record.Node {
		c := *n
		c.State = nil
		return &c
	}
	return sameNode(bare(a), bare(b))
}

func sameNode(a, b *record.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return bytes.Equal(jsonOf(a), jsonOf(b))
}

// jsonOf is that of a node, which has no error.
func jsonOf(n *record.Node) []byte {
	text, _ := n.MarshalJSON()
	return text
}

func inDicts(name string, a, b *record.Node, list *[]Difference) {
	later := make(map[string]*record.Node, len(b.Pairs))
	for _, p := range b.Pairs {
		later[string(jsonOf(p.Key))] = p.Value
	}
	earlier := make(map[string]bool, len(a.Pairs))
	for _, p := range a.Pairs {
		key := string(jsonOf(p.Key))
		earlier[key] = true
		differences(below(name, p.Key), p.Value, later[key], list)
	}
	for _, p := range b.Pairs {
		if !earlier[string(jsonOf(p.Key))] {
			*list = append(*list, Difference{below(name, p.Key), nil, p.Value})
		}
	}
}

// below is the name of what is under a key in what has a name.
func below(name string, key *record.Node) string {
	text := key.Text
	if key.Kind != record.Text {
		text = string(jsonOf(key))
	}
	if name == "" {
		return text
	}
	return name + "." + text
}
