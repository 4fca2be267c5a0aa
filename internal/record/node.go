package record

import "github.com/zrsd/zrsd/zodb"

// A Kind says what a Node is.
type Kind string

// The kinds. The first column of their comments is what is set beside Kind.
const (
	None      Kind = "none"
	Bool      Kind = "bool"      // Text: True or False
	Int       Kind = "int"       // Text: its digits
	Float     Kind = "float"     // Text: as Python shows it
	Text      Kind = "text"      // Text
	Bytes     Kind = "bytes"     // Text: the bytes
	Tuple     Kind = "tuple"     // Items
	List      Kind = "list"      // Items
	Set       Kind = "set"       // Items
	FrozenSet Kind = "frozenset" // Items
	Dict      Kind = "dict"      // Pairs
	Moment    Kind = "moment"    // Class: datetime, date, time, timedelta or DateTime; Text
	Class     Kind = "class"     // Class: a class or function that is mentioned
	Ref       Kind = "ref"       // Ref
	Object    Kind = "object"    // Class, and as far as there are: Args, Items, Pairs, State
	Cycle     Kind = "cycle"     // Up
	Cut       Kind = "cut"       // Text: which limit
)

// A Node is a value of a state.
type Node struct {
	Kind  Kind
	Text  string
	Class string
	Args  []*Node // an object is made with
	Items []*Node
	Pairs []Pair
	State *Node
	Ref   *Reference
	Up    int // of a cycle: how many containers above is the one that is here again
}

// A Pair is an entry of a dictionary.
type Pair struct{ Key, Value *Node }

// Get returns the value of a text key of a dictionary, nil where there is none.
func (n *Node) Get(key string) (value *Node) {
	for _, p := range n.Pairs {
		if p.Key.Kind == Text && p.Key.Text == key {
			value = p.Value
		}
	}
	return value
}

// A Reference leads from one object to another.
type Reference struct {
	Oid      zodb.Oid `json:"oid"`
	Class    string   `json:"class,omitempty"`    // module.name, as the reference has it
	Database string   `json:"database,omitempty"` // of the object, where it is another one
	Weak     bool     `json:"weak,omitempty"`
}

func text(s string) *Node { return &Node{Kind: Text, Text: s} }

// dict is a dictionary with names as keys.
func dict(entries ...entry) *Node {
	n := &Node{Kind: Dict}
	for _, e := range entries {
		n.Pairs = append(n.Pairs, Pair{text(e.name), e.value})
	}
	return n
}

type entry struct {
	name  string
	value *Node
}
