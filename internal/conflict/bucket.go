package conflict

import "github.com/zrsd/zrsd/internal/pickle"

// A bucket is the state of one.
type bucket struct {
	entries []entry
	next    pickle.Value // reference to the next one; nil: there is none
}

// merge is the rule of a kind.
func (k *kind) merge(old, committed, sent pickle.Value) (pickle.Value, error) {
	var b [3]*bucket
	for i, state := range []pickle.Value{old, committed, sent} {
		var err error
		if b[i], err = k.bucket(state); err != nil {
			return nil, err
		}
	}
	if !sameReference(b[0].next, b[1].next) || !sameReference(b[0].next, b[2].next) {
		return nil, unresolved("a bucket was split, or taken out of its tree")
	}
	m := &merger{
		set: k.value == nil, old: cursor{entries: b[0].entries},
		committed: cursor{entries: b[1].entries}, sent: cursor{entries: b[2].entries},
	}
	entries, err := m.merge()
	if err != nil {
		return nil, err
	}
	return k.state(&bucket{entries, b[0].next}), nil
}

// bucket reads a state. A tree's must have one bucket at most, and that inside.
func (k *kind) bucket(state pickle.Value) (*bucket, error) {
	if state == nil {
		return &bucket{}, nil // empty
	}
	t, _ := state.(pickle.Tuple)
	if k.tree {
		if len(t) == 2 {
			return nil, unresolved("a tree of several buckets has changed")
		}
		if t = inside(inside(t)); t == nil {
			return nil, unresolved("this is not the state of a tree")
		}
	}
	if len(t) != 1 && len(t) != 2 {
		return nil, unresolved("this is not the state of a bucket")
	}
	b := new(bucket)
	if len(t) == 2 {
		ref, ok := t[1].(pickle.Persistent)
		if !ok {
			return nil, unresolved("the next bucket is a %T", t[1])
		}
		b.next = ref
	}
	items, ok := t[0].(pickle.Tuple)
	if !ok {
		return nil, unresolved("the entries of a bucket are a %T", t[0])
	}
	var err error
	b.entries, err = k.entries(items)
	return b, err
}

// inside returns the tuple that is all of another one, nil where there is none.
func inside(t pickle.Tuple) pickle.Tuple {
	if len(t) != 1 {
		return nil
	}
	t, _ = t[0].(pickle.Tuple)
	return t
}

// entries takes keys and values in turn, or keys only.
func (k *kind) entries(items pickle.Tuple) ([]entry, error) {
	step := k.step()
	if len(items)%step != 0 {
		return nil, unresolved("the last key has no value")
	}
	entries := make([]entry, 0, len(items)/step)
	for ; len(items) > 0; items = items[step:] {
		e := entry{key: items[0]}
		if !k.key(e.key) {
			return nil, unresolved("a key that this class cannot have")
		}
		if k.value != nil {
			if e.value = items[1]; !k.value(e.value) {
				return nil, unresolved("a value that this class cannot have")
			}
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// step is how many items an entry takes in a state.
func (k *kind) step() int {
	if k.value == nil {
		return 1
	}
	return 2
}

// state is the reverse of bucket.
func (k *kind) state(b *bucket) pickle.Value {
	items := make(pickle.Tuple, 0, len(b.entries)*k.step())
	for _, e := range b.entries {
		items = append(items, e.key)
		if k.value != nil {
			items = append(items, e.value)
		}
	}
	state := pickle.Tuple{items}
	if b.next != nil {
		state = append(state, b.next)
	}
	if k.tree {
		return pickle.Tuple{pickle.Tuple{state}}
	}
	return state
}

// sameReference reports whether two references to the next bucket are spelled alike, as those are that ZODB takes for
// one: an oid and a class.
func sameReference(a, b pickle.Value) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	x, xok := nextOf(a)
	y, yok := nextOf(b)
	return xok && yok && x == y
}

// A next is what a reference to a bucket consists of.
type next struct {
	oid   string
	class pickle.Global
}

func nextOf(v pickle.Value) (next, bool) {
	ref, _ := v.(pickle.Persistent)
	t, _ := ref.ID.(pickle.Tuple)
	if len(t) != 2 {
		return next{}, false
	}
	oid, isOid := t[0].(pickle.Bytes)
	class, isClass := t[1].(pickle.Global)
	return next{string(oid), class}, isOid && isClass
}
