package filestorage

import (
	"encoding/binary"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// Index files of before ZODB 3.10 are one pickle: a dictionary with "pos" and "index", the latter one of
//
//	{oid: offset, …}                                           oldest
//	fsIndex{_data: OOBTree{prefix: fsBucket{suffix: offset}}}  or a dict in place of the OOBTree
//	fsIndex{state_version: 1, _data: [(prefix, value), …]}     values as in the current format
//
// with oids and offsets as byte strings, offsets in the oldest form as integers. BTrees stand there as their states,
// nested tuples.

// maxOldIndex bounds the size of an old index file. A pickle needs many times its size in memory, and a storage with a
// larger one is better scanned once than that.
const maxOldIndex = 4 << 20

// maxTreeDepth is more than any BTree of an index has.
const maxTreeDepth = 16

// An oldIndex is the way from a pickle's values to an index.
type oldIndex struct {
	x    *index
	left int64 // items that may still be visited: a file has no more than bytes, unless it refers to itself
}

func readOldIndex(file *io.SectionReader) (*index, int64, error) {
	if file.Size() > maxOldIndex {
		return nil, 0, unusable("it is in an old format and %d bytes long, more than %d", file.Size(), maxOldIndex)
	}
	v, err := readPickle(file)
	if err != nil {
		return nil, 0, err
	}
	o := oldIndex{x: newIndex(), left: file.Size()}
	top, ok := v.(*pyDict)
	if !ok {
		return nil, 0, unusable("it is neither in the current format nor in an old one")
	}
	pos, ok := top.get("pos").(int64)
	if !ok || pos < magicLen {
		return nil, 0, unusable("position %v", top.get("pos"))
	}
	return o.x, pos, o.index(top.get("index"))
}

// get returns the value of the last item of that name.
func (d *pyDict) get(name string) (value any) {
	for i := 0; i+1 < len(d.items); i += 2 {
		if d.items[i] == any(pyText(name)) || d.items[i] == any(pyBytes(name)) {
			value = d.items[i+1]
		}
	}
	return value
}

func (o *oldIndex) index(v any) error {
	switch v := v.(type) {
	case *pyDict:
		return o.pairs(v.items, o.plain)
	case *pyObject:
		state, ok := v.state.(*pyDict)
		if !ok || v.class != classIndex {
			break
		}
		if version := state.get("state_version"); version != nil && version != any(int64(1)) {
			return unusable("state version %v", version)
		}
		return o.data(state.get("_data"))
	}
	return unusable("its index is of another kind")
}

func (o *oldIndex) data(v any) error {
	switch v := v.(type) {
	case *pyDict:
		return o.pairs(v.items, o.bucket)
	case *pyList:
		for _, item := range v.items {
			pair, _ := item.(pyTuple)
			if err := o.pairs(pair, o.value); err != nil {
				return err
			}
		}
		return nil
	case *pyObject:
		return o.tree(v, 0)
	}
	return unusable("its data are of another kind")
}

// pairs calls f for every two items.
func (o *oldIndex) pairs(items []any, f func(key string, value any) error) error {
	if len(items)%2 != 0 {
		return unusable("a key without value")
	}
	for i := 0; i < len(items); i += 2 {
		key, ok := items[i].(pyBytes)
		if !ok {
			return unusable("a key that is no byte string")
		}
		if err := o.spend(1); err != nil {
			return err
		}
		if err := f(string(key), items[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (o *oldIndex) spend(n int) error {
	if o.left -= int64(n); o.left < 0 {
		return unusable("it refers to itself")
	}
	return nil
}

// plain enters oid: offset.
func (o *oldIndex) plain(key string, value any) error {
	pos, ok := value.(int64)
	if !ok || len(key) != prefixLen+suffixLen {
		return unusable("an entry that is no oid and offset")
	}
	return o.set(zodb.Oid(binary.BigEndian.Uint64([]byte(key))), pos)
}

func (o *oldIndex) set(oid zodb.Oid, pos int64) error {
	e := entry{oid, pos}
	if err := e.check(); err != nil {
		return err
	}
	o.x.set(oid, pos)
	return nil
}

// value enters prefix: value of the current format.
func (o *oldIndex) value(key string, value any) error {
	b, ok := value.(pyBytes)
	if !ok || len(key) != prefixLen || len(b) > maxValue {
		return unusable("an entry that is no prefix and value")
	}
	if err := o.spend(len(b) / (suffixLen + offsetLen)); err != nil {
		return err
	}
	return o.x.setBucket(uint48([]byte(key)), []byte(b))
}

// bucket enters prefix: fsBucket.
func (o *oldIndex) bucket(key string, value any) error {
	b, ok := value.(*pyObject)
	if !ok || b.class != classBucket || len(key) != prefixLen {
		return unusable("an entry that is no prefix and bucket")
	}
	prefix := uint48([]byte(key))
	return o.items(b.state, func(key string, value any) error {
		offset, ok := value.(pyBytes)
		if !ok || len(key) != suffixLen || len(offset) != offsetLen {
			return unusable("an entry that is no suffix and offset")
		}
		suffix := uint64(binary.BigEndian.Uint16([]byte(key)))
		return o.set(zodb.Oid(prefix<<16|suffix), int64(uint48([]byte(offset))))
	})
}

// tree enters an OOBTree of prefix: fsBucket. Its state is ((bucket state,),) while there is one bucket, and
// ((child, key, child, key, …, child), first bucket) later.
func (o *oldIndex) tree(t *pyObject, depth int) error {
	if t.state == nil {
		return nil
	}
	state, _ := t.state.(pyTuple)
	if depth > maxTreeDepth || t.class != classTree || len(state) == 0 {
		return unusable("a tree that is none")
	}
	children, _ := state[0].(pyTuple)
	if len(children) == 0 {
		return unusable("a tree that is none")
	}
	if len(state) == 1 && len(children) == 1 {
		return o.items(children[0], o.bucket)
	}
	for i := 0; i < len(children); i += 2 {
		if err := o.spend(1); err != nil {
			return err
		}
		if err := o.child(children[i], depth); err != nil {
			return err
		}
	}
	return nil
}

func (o *oldIndex) child(v any, depth int) error {
	child, ok := v.(*pyObject)
	switch {
	case ok && child.class == classTree:
		return o.tree(child, depth+1)
	case ok && child.class == classLeaf:
		return o.items(child.state, o.bucket)
	}
	return unusable("a tree with something else inside")
}

// items calls f for each key and value of a bucket's state ((key, value, …),) or ((key, value, …), next bucket). An
// empty bucket may have none.
func (o *oldIndex) items(state any, f func(key string, value any) error) error {
	if state == nil {
		return nil
	}
	s, _ := state.(pyTuple)
	if len(s) == 0 {
		return unusable("a bucket that is none")
	}
	items, ok := s[0].(pyTuple)
	if !ok {
		return unusable("a bucket that is none")
	}
	return o.pairs(items, f)
}
