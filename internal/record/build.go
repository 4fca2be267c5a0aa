package record

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/zrsd/zrsd/internal/pickle"
)

// A builder makes trees of what package pickle has read.
type builder struct {
	left       int  // how many nodes more
	cut        bool // there were more
	above      []pickle.Value
	references []Reference
}

// node makes the tree of a value.
func (b *builder) node(v pickle.Value) *Node {
	if n := scalar(v); n != nil {
		return b.count(n)
	}
	if up := b.up(v); up > 0 {
		return b.count(&Node{Kind: Cycle, Up: up})
	}
	if b.left <= 0 || len(b.above) >= maxDepth {
		b.cut = b.cut || b.left <= 0
		return &Node{Kind: Cut, Text: "more than is shown"}
	}
	b.above = append(b.above, v)
	n := b.count(b.container(v))
	b.above = b.above[:len(b.above)-1]
	return n
}

func (b *builder) count(n *Node) *Node {
	b.left--
	return n
}

// up returns how many containers above v is itself, 0 where it is not.
func (b *builder) up(v pickle.Value) int {
	switch v.(type) {
	case *pickle.List, *pickle.Dict, *pickle.Object:
	default:
		return 0 // a tuple that contains itself has one of these on the way
	}
	for i := len(b.above) - 1; i >= 0; i-- {
		switch b.above[i].(type) {
		case *pickle.List, *pickle.Dict, *pickle.Object:
			if b.above[i] == v {
				return len(b.above) - i
			}
		}
	}
	return 0
}

// scalar returns the node of a value that contains no others, nil for the rest.
func scalar(v pickle.Value) *Node {
	switch v := v.(type) {
	case nil:
		return &Node{Kind: None}
	case bool:
		if v {
			return &Node{Kind: Bool, Text: "True"}
		}
		return &Node{Kind: Bool, Text: "False"}
	case int64:
		return &Node{Kind: Int, Text: strconv.FormatInt(v, 10)}
	case *big.Int:
		return &Node{Kind: Int, Text: v.String()}
	case float64:
		return &Node{Kind: Float, Text: floatText(v)}
	case string:
		return text(v)
	case pickle.Bytes:
		return &Node{Kind: Bytes, Text: string(v)}
	case pickle.ByteString:
		return byteString(v)
	case pickle.Global, pickle.Extension:
		name, _ := className(v)
		return &Node{Kind: Class, Class: name}
	case pickle.Persistent:
		if ref, ok := referenceOf(v); ok {
			return &Node{Kind: Ref, Ref: &ref}
		}
		return &Node{Kind: Cut, Text: "a reference in no known form"}
	}
	return nil
}

// byteString is text where it is UTF-8: what Python 2 has written there, only the site knows.
func byteString(b pickle.ByteString) *Node {
	if isText(string(b)) {
		return text(string(b))
	}
	return &Node{Kind: Bytes, Text: string(b)}
}

func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if _, err := strconv.ParseInt(s, 10, 64); err == nil {
		s += ".0"
	}
	return s
}

func (b *builder) container(v pickle.Value) *Node {
	switch v := v.(type) {
	case pickle.Tuple:
		return &Node{Kind: Tuple, Items: b.nodes(v)}
	case *pickle.List:
		return &Node{Kind: List, Items: b.nodes(v.Items)}
	case *pickle.Dict:
		return &Node{Kind: Dict, Pairs: b.pairs(v.Items)}
	case *pickle.Object:
		return b.object(v)
	}
	return &Node{Kind: Cut, Text: fmt.Sprintf("a %T", v)}
}

func (b *builder) nodes(values []pickle.Value) []*Node {
	list := make([]*Node, 0, min(len(values), max(b.left, 0)+1))
	for i, v := range values {
		if b.left <= 0 {
			b.cut = true
			return append(list, &Node{Kind: Cut, Text: fmt.Sprintf("%d more items", len(values)-i)})
		}
		list = append(list, b.node(v))
	}
	return list
}

func (b *builder) pairs(items []pickle.Pair) []Pair {
	list := make([]Pair, 0, min(len(items), max(b.left, 0)+1))
	for i, p := range items {
		if b.left <= 0 {
			b.cut = true
			cut := &Node{Kind: Cut, Text: fmt.Sprintf("%d more entries", len(items)-i)}
			return append(list, Pair{cut, cut})
		}
		list = append(list, Pair{b.node(p.Key), b.node(p.Value)})
	}
	return list
}

// object makes a node of what a pickle says about an object.
func (b *builder) object(o *pickle.Object) *Node {
	if n := b.known(o); n != nil {
		return n
	}
	class, ok := className(o.Class)
	if !ok {
		class = "?"
	}
	n := &Node{Kind: Object, Class: class}
	if args, ok := o.Args.(pickle.Tuple); ok {
		n.Args = b.nodes(args)
	}
	if o.Keywords != nil {
		n.Args = append(n.Args, b.node(o.Keywords))
	}
	if o.Appended != nil {
		n.Items = b.nodes(o.Appended)
	}
	if o.Set != nil {
		n.Pairs = b.pairs(o.Set)
	}
	if o.HasState {
		n.State = b.node(o.State)
	}
	return n
}

// collect appends the references that are anywhere in values, in their order. It needs no recursion, as the depth of a
// hostile record has no bound where containers are filled after they are nested.
func (b *builder) collect(values ...pickle.Value) {
	seen := make(map[pickle.Value]bool)
	stack := pushed(nil, values)
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if p, ok := v.(pickle.Persistent); ok {
			if ref, ok := referenceOf(p); ok {
				b.references = append(b.references, ref)
			}
			continue
		}
		if key := identity(v); key != nil && !seen[key] {
			seen[key] = true
			stack = pushed(stack, inside(v))
		}
	}
}

// pushed puts values on a stack, the first one on top.
func pushed(stack, values []pickle.Value) []pickle.Value {
	for _, v := range slices.Backward(values) {
		stack = append(stack, v)
	}
	return stack
}

// identity identifies a container, which is shared by the memo; nil for what contains nothing. A record that mentions
// one a thousand times, which mentions another a thousand times, has each reference once.
func identity(v pickle.Value) pickle.Value {
	switch c := v.(type) {
	case pickle.Tuple:
		if len(c) > 0 {
			return &c[0]
		}
	case *pickle.List, *pickle.Dict, *pickle.Object:
		return c
	}
	return nil
}

// inside returns what is in a container.
func inside(v pickle.Value) (values []pickle.Value) {
	switch c := v.(type) {
	case pickle.Tuple:
		return c
	case *pickle.List:
		return c.Items
	case *pickle.Dict:
		return keysAndValues(nil, c.Items)
	case *pickle.Object:
		values = append(values, c.Class, c.Args, c.Keywords)
		values = append(values, c.Appended...)
		values = keysAndValues(values, c.Set)
		return append(values, c.State)
	}
	return nil
}

func keysAndValues(values []pickle.Value, items []pickle.Pair) []pickle.Value {
	for _, p := range items {
		values = append(values, p.Key, p.Value)
	}
	return values
}
