package export

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/zrsd/zrsd/internal/record"
)

// maxDepth is how many objects inside of each other are flattened; below, they are JSON.
const maxDepth = 4

// An attribute is a cell with its name.
type attribute struct {
	name string
	cell
}

// A row is what an object has in a table, or one entry of it.
type row []attribute

// btree matches the classes of BTrees: family, and what it is.
var btree = regexp.MustCompile(`^(BTrees\.[A-Za-z]{2}BTree\.[A-Za-z]{2})(BTree|Bucket|TreeSet|Set)(?:Py)?$`)

// containers are other classes of which each entry is a row.
var containers = map[string]string{
	"persistent.mapping.PersistentMapping": "persistent.mapping.PersistentMapping",
	"persistent.dict.PersistentDict":       "persistent.mapping.PersistentMapping",
	"persistent.list.PersistentList":       "persistent.list.PersistentList",
}

// tableOf returns which table an object of a class belongs into.
func tableOf(class string) string {
	if m := btree.FindStringSubmatch(class); m != nil {
		if m[2] == "BTree" || m[2] == "Bucket" {
			return m[1] + "BTree"
		}
		return m[1] + "TreeSet"
	}
	if table, ok := containers[class]; ok {
		return table
	}
	return class
}

// isTree reports whether a class is of a part of a BTree.
func isTree(class string) bool { return btree.MatchString(class) }

// rowsOf flattens the state of an object. A container without entries has no row.
func rowsOf(d *record.Decoded) []row {
	switch {
	case isTree(d.Class):
		if rows, ok := treeRows(d.State); ok {
			return rows
		}
	case containers[d.Class] != "":
		if rows, ok := dataRows(d.State); ok {
			return rows
		}
	}
	return []row{attributesOf(d.State)}
}

// attributesOf flattens the state of an object that is no container.
func attributesOf(state *record.Node) (r row) {
	if state == nil || state.Kind == record.None {
		return nil
	}
	if !isNamed(state) {
		return r.add("state", state, maxDepth)
	}
	for _, p := range state.Pairs {
		r = r.add(p.Key.Text, p.Value, 0)
	}
	return r
}

// isNamed reports whether a value is a dictionary with texts as keys.
func isNamed(n *record.Node) bool {
	if n.Kind != record.Dict {
		return false
	}
	for _, p := range n.Pairs {
		if p.Key.Kind != record.Text {
			return false
		}
	}
	return true
}

// add appends what a value is in columns.
func (r row) add(name string, n *record.Node, depth int) row {
	if c, ok := scalar(n); ok {
		return append(r, attribute{name, c})
	}
	if n.Kind == record.Ref {
		return r.addReference(name, n.Ref)
	}
	if n.Class == "uuid.UUID" && len(n.Args) == 1 {
		return r.add(name, n.Args[0], depth)
	}
	if depth >= maxDepth || n.State == nil || !isNamed(n.State) || len(n.Args)+len(n.Items)+len(n.Pairs) > 0 {
		text, err := n.MarshalJSON()
		if err != nil {
			text = []byte("null")
		}
		return append(r, attribute{name, cell{JSON, json.RawMessage(text)}})
	}
	r = append(r, attribute{name + ".class", cell{Text, n.Class}})
	for _, p := range n.State.Pairs {
		r = r.add(name+"."+p.Key.Text, p.Value, depth+1)
	}
	return r
}

func (r row) addReference(name string, ref *record.Reference) row {
	r = append(r, attribute{name + ".oid", cell{Text, ref.Oid.String()}})
	if ref.Class != "" {
		r = append(r, attribute{name + ".class", cell{Text, strings.ToValidUTF8(ref.Class, "\uFFFD")}})
	}
	if ref.Database != "" {
		r = append(r, attribute{name + ".database", cell{Text, strings.ToValidUTF8(ref.Database, "\uFFFD")}})
	}
	if ref.Weak {
		r = append(r, attribute{name + ".weak", cell{Boolean, true}})
	}
	return r
}

// treeRows are the entries of a bucket, of a small tree, or none for a tree with children.
func treeRows(state *record.Node) (rows []row, ok bool) {
	if state == nil || state.Kind == record.None {
		return nil, true
	}
	if state.Kind != record.Dict {
		return nil, false
	}
	if state.Get("children") != nil {
		return nil, true
	}
	if entries := state.Get("entries"); entries != nil {
		return pairRows(entries.Pairs), true
	}
	keys := state.Get("keys")
	if keys == nil {
		return nil, false
	}
	for _, key := range keys.Items {
		rows = append(rows, row(nil).add("key", key, 0))
	}
	return rows, true
}

// dataRows are the entries of a state {"data": …} and nothing else.
func dataRows(state *record.Node) (rows []row, ok bool) {
	if state == nil || state.Kind != record.Dict || len(state.Pairs) != 1 {
		return nil, false
	}
	data := state.Get("data")
	switch {
	case data == nil:
		return nil, false
	case data.Kind == record.Dict:
		return pairRows(data.Pairs), true
	case data.Kind == record.List:
		for i, n := range data.Items {
			rows = append(rows, row{{"key", cell{Integer, int64(i)}}}.add("value", n, 0))
		}
		return rows, true
	}
	return nil, false
}

func pairRows(pairs []record.Pair) (rows []row) {
	for _, p := range pairs {
		rows = append(rows, row(nil).add("key", p.Key, 0).add("value", p.Value, 0))
	}
	return rows
}
