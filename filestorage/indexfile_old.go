package filestorage

import (
	"encoding/binary"
	"io"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// Index files of before ZODB 3.10 are one pickle: a dictionary with "pos" and "index", the latter one of
//
//	{oid: offset, …}                                           oldest
//	fsIndex{_data: OOBTree{prefix: fsBucket{suffix: offset}}}  or a dict in place of the OOBTree
//	fsIndex{state_version: 1, _data: [(prefix, value), …]}     values as in the current format
//
// with oids and offsets as byte strings, offsets in the oldest form as integers. BTrees are there as their states,
// nested tuples.

// maxOldIndex bounds the size of an old index file. A pickle needs many times its size in memory, and a storage with a
// larger one is better scanned once than that.
const maxOldIndex = 4 << 20

// maxOldValues bounds what a pickle is made into: about 40 MB.
const maxOldValues = 500_000

// maxTreeDepth is more than any BTree of an index has.
const maxTreeDepth = 16

// The classes of an index.
var (
	classIndex  = pickle.Global{Module: "ZODB.fsIndex", Name: "fsIndex"}
	classTree   = pickle.Global{Module: "BTrees.OOBTree", Name: "OOBTree"}
	classLeaf   = pickle.Global{Module: "BTrees.OOBTree", Name: "OOBucket"}
	classBucket = pickle.Global{Module: "BTrees.fsBTree", Name: "fsBucket"}
	callNew     = pickle.Global{Module: "copyreg", Name: "__newobj__"}
	callRebuild = pickle.Global{Module: "copyreg", Name: "_reconstructor"}
)

// oldLimits bound a pickle. Other names than those of an index make the file unusable.
var oldLimits = pickle.Limits{
	Bytes: maxOldIndex, Values: maxOldValues, Nesting: maxOldValues, // buckets are nested in the ones before
	Global: func(g pickle.Global) bool {
		switch g {
		case classIndex, classTree, classLeaf, classBucket, callNew, callRebuild,
			pickle.Global{Module: "builtins", Name: "object"}, pickle.Global{Module: "_codecs", Name: "encode"}:
			return true
		}
		return false
	},
}

// An oldIndex is the way from a pickle's values to an index.
type oldIndex struct {
	x    *index
	left int64 // items that may still be visited: a file has no more than bytes, unless it refers to itself
}

func readOldIndex(file *io.SectionReader) (*index, int64, error) {
	if file.Size() > maxOldIndex {
		return nil, 0, unusable("it is in an old format and %d bytes long, more than %d", file.Size(), maxOldIndex)
	}
	b, err := io.ReadAll(file)
	if err != nil {
		return nil, 0, err
	}
	v, _, err := pickle.LoadPrefix(b, oldLimits)
	if err != nil {
		return nil, 0, unusable("%v", err)
	}
	o := oldIndex{x: newIndex(), left: file.Size()}
	top, ok := v.(*pickle.Dict)
	if !ok {
		return nil, 0, unusable("it is neither in the current format nor in an old one")
	}
	pos, ok := get(top, "pos").(int64)
	if !ok || pos < magicLen {
		return nil, 0, unusable("position %v", get(top, "pos"))
	}
	return o.x, pos, o.index(get(top, "index"))
}

// get returns the value of the last item of that name.
func get(d *pickle.Dict, name string) pickle.Value {
	v, _ := d.Get(name)
	return v
}

// bytesOf returns a byte string.
func bytesOf(v pickle.Value) ([]byte, bool) {
	switch v := v.(type) {
	case pickle.Bytes:
		return v, true
	case pickle.ByteString:
		return v, true
	}
	return nil, false
}

// instance returns the class and the state of an object.
func instance(v pickle.Value) (class pickle.Global, state pickle.Value) {
	o, ok := v.(*pickle.Object)
	if !ok {
		return class, nil
	}
	class, _ = o.Class.(pickle.Global)
	if class == callNew || class == callRebuild {
		args, _ := o.Args.(pickle.Tuple)
		if len(args) == 0 {
			return pickle.Global{}, nil
		}
		class, _ = args[0].(pickle.Global)
	}
	return class, o.State
}

// flat returns keys and values in turns, as buckets have them.
func flat(d *pickle.Dict) []pickle.Value {
	items := make([]pickle.Value, 0, 2*len(d.Items))
	for _, p := range d.Items {
		items = append(items, p.Key, p.Value)
	}
	return items
}

func (o *oldIndex) index(v pickle.Value) error {
	if d, ok := v.(*pickle.Dict); ok {
		return o.pairs(flat(d), o.plain)
	}
	class, state := instance(v)
	d, ok := state.(*pickle.Dict)
	if !ok || class != classIndex {
		return unusable("its index is of another kind")
	}
	if version := get(d, "state_version"); version != nil && version != any(int64(1)) {
		return unusable("state version %v", version)
	}
	return o.data(get(d, "_data"))
}

func (o *oldIndex) data(v pickle.Value) error {
	switch v := v.(type) {
	case *pickle.Dict:
		return o.pairs(flat(v), o.bucket)
	case *pickle.List:
		for _, item := range v.Items {
			pair, _ := item.(pickle.Tuple)
			if err := o.pairs(pair, o.value); err != nil {
				return err
			}
		}
		return nil
	case *pickle.Object:
		return o.tree(v, 0)
	}
	return unusable("its data are of another kind")
}

// pairs calls f for every two items.
func (o *oldIndex) pairs(items []pickle.Value, f func(key []byte, value pickle.Value) error) error {
	if len(items)%2 != 0 {
		return unusable("a key without value")
	}
	for i := 0; i < len(items); i += 2 {
		key, ok := bytesOf(items[i])
		if !ok {
			return unusable("a key that is no byte string")
		}
		if err := o.spend(1); err != nil {
			return err
		}
		if err := f(key, items[i+1]); err != nil {
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
func (o *oldIndex) plain(key []byte, value pickle.Value) error {
	pos, ok := value.(int64)
	if !ok || len(key) != prefixLen+suffixLen {
		return unusable("an entry that is no oid and offset")
	}
	return o.set(zodb.Oid(binary.BigEndian.Uint64(key)), pos)
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
func (o *oldIndex) value(key []byte, value pickle.Value) error {
	b, ok := bytesOf(value)
	if !ok || len(key) != prefixLen || len(b) > maxValue {
		return unusable("an entry that is no prefix and value")
	}
	if err := o.spend(len(b) / (suffixLen + offsetLen)); err != nil {
		return err
	}
	return o.x.setBucket(uint48(key), b)
}

// bucket enters prefix: fsBucket.
func (o *oldIndex) bucket(key []byte, value pickle.Value) error {
	class, state := instance(value)
	if class != classBucket || len(key) != prefixLen {
		return unusable("an entry that is no prefix and bucket")
	}
	prefix := uint48(key)
	return o.items(state, func(key []byte, value pickle.Value) error {
		offset, ok := bytesOf(value)
		if !ok || len(key) != suffixLen || len(offset) != offsetLen {
			return unusable("an entry that is no suffix and offset")
		}
		suffix := uint64(binary.BigEndian.Uint16(key))
		return o.set(zodb.Oid(prefix<<16|suffix), int64(uint48(offset)))
	})
}

// tree enters an OOBTree of prefix: fsBucket. Its state is ((bucket state,),) while there is one bucket, and
// ((child, key, child, key, …, child), first bucket) later.
func (o *oldIndex) tree(v pickle.Value, depth int) error {
	class, content := instance(v)
	if depth > maxTreeDepth || class != classTree {
		return unusable("a tree that is none")
	}
	if content == nil {
		return nil
	}
	state, _ := content.(pickle.Tuple)
	if len(state) == 0 {
		return unusable("a tree that is none")
	}
	children, _ := state[0].(pickle.Tuple)
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

func (o *oldIndex) child(v pickle.Value, depth int) error {
	switch class, state := instance(v); class {
	case classTree:
		return o.tree(v, depth+1)
	case classLeaf:
		return o.items(state, o.bucket)
	}
	return unusable("a tree with something else inside")
}

// items calls f for each key and value of a bucket's state ((key, value, …),) or ((key, value, …), next bucket). An
// empty bucket may have none.
func (o *oldIndex) items(state pickle.Value, f func(key []byte, value pickle.Value) error) error {
	if state == nil {
		return nil
	}
	s, _ := state.(pickle.Tuple)
	if len(s) == 0 {
		return unusable("a bucket that is none")
	}
	items, ok := s[0].(pickle.Tuple)
	if !ok {
		return unusable("a bucket that is none")
	}
	return o.pairs(items, f)
}
