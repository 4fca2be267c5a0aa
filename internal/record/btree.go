package record

import (
	"regexp"

	"github.com/zrsd/zrsd/internal/pickle"
)

// btreeClass matches the classes of BTrees, their families and what a state of each is.
var btreeClass = regexp.MustCompile(`^BTrees\.[A-Za-z]{2}BTree\.[A-Za-z]{2}(BTree|TreeSet|Bucket|Set)(?:Py)?$`)

// state shows the state of an object of a class: of BTrees by keys and values, all others as they are.
//
//	Bucket, Set      ((key, value, …), next)     entries, and the reference to the next bucket
//	BTree, TreeSet   ((child, key, child, …), first)
//	                 (((entries),),)             small: one bucket inside
func (b *builder) state(class string, v pickle.Value) *Node {
	if m := btreeClass.FindStringSubmatch(class); m != nil {
		t, _ := v.(pickle.Tuple)
		pairs := m[1] == "BTree" || m[1] == "Bucket"
		if n := b.btree(m[1] == "BTree" || m[1] == "TreeSet", pairs, t); n != nil {
			return n
		}
	}
	return b.node(v)
}

func (b *builder) btree(tree, pairs bool, t pickle.Tuple) *Node {
	if tree && len(t) == 1 { // ((bucket,),)
		inner, _ := t[0].(pickle.Tuple)
		if len(inner) != 1 {
			return nil
		}
		t, _ = inner[0].(pickle.Tuple)
		tree = false
	}
	if len(t) != 1 && len(t) != 2 {
		return nil
	}
	items, ok := t[0].(pickle.Tuple)
	if !ok {
		return nil
	}
	if tree {
		return b.tree(items, t)
	}
	n := dict(entry{"keys", &Node{Kind: List}})
	switch {
	case pairs && len(items)%2 == 0:
		n = dict(entry{"entries", &Node{Kind: Dict, Pairs: b.pairs(inPairs(items))}})
	case pairs:
		return nil
	default:
		n.Pairs[0].Value.Items = b.nodes(items)
	}
	if len(t) == 2 {
		n.Pairs = append(n.Pairs, Pair{text("next"), b.node(t[1])})
	}
	return n
}

// tree shows children and the keys between them.
func (b *builder) tree(items, t pickle.Tuple) *Node {
	if len(t) != 2 || len(items)%2 == 0 {
		return nil
	}
	var children, keys []pickle.Value
	for i, v := range items {
		if i%2 == 0 {
			children = append(children, v)
		} else {
			keys = append(keys, v)
		}
	}
	return dict(entry{"children", &Node{Kind: List, Items: b.nodes(children)}},
		entry{"keys", &Node{Kind: List, Items: b.nodes(keys)}}, entry{"first", b.node(t[1])})
}

func inPairs(items []pickle.Value) []pickle.Pair {
	list := make([]pickle.Pair, 0, len(items)/2)
	for i := 0; i < len(items); i += 2 {
		list = append(list, pickle.Pair{Key: items[i], Value: items[i+1]})
	}
	return list
}
