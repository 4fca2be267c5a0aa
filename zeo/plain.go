package zeo

import (
	"math/big"
	"unicode/utf8"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
)

// What files have in extensions is whatever Python once pickled. A client that gets something that it cannot read waits
// for ever, so clients get what every client reads: None, booleans, numbers, text, bytes, tuples, lists and
// dictionaries with keys that can be hashed. Str of Python 2 is text where it is ASCII and bytes elsewhere, as Python 3
// reads it. In msgpack, keys are text or bytes, integers have 64 bits, and text is UTF-8.

// Bounds on what an extension is for a client. One of the 64 KiB that a file has room for can stand for gigabytes, by
// mentioning lists in lists more than once.
const (
	maxPlainBytes   = 1 << 20
	maxPlainNesting = 50
)

// A plainer makes values plain.
type plainer struct {
	packed bool // for msgpack
	left   int  // bytes
}

func (c *client) plainer() *plainer {
	return &plainer{packed: c.encoding == wire.M5, left: maxPlainBytes}
}

// extensionOf returns the entries of a transaction's extension that can be said to a client. What is no dictionary has
// none.
func (p *plainer) extensionOf(raw []byte) *pickle.Dict {
	d := &pickle.Dict{}
	v, err := pickle.Load(raw, pickle.Limits{})
	if err != nil {
		return d
	}
	entries, ok := pickle.Mapping(v)
	if !ok {
		return d
	}
	for _, e := range entries.Items {
		key, isKey := p.key(e.Key, 1)
		value, isPlain := p.value(e.Value, 1)
		if isKey && isPlain {
			d.Items = append(d.Items, pickle.Pair{Key: key, Value: value})
		}
	}
	if p.left < 0 {
		return &pickle.Dict{} // too much altogether
	}
	return d
}

// iterated is the extension as an iterator of the reference server tells it, which may be no dictionary.
func (p *plainer) iterated(raw []byte) pickle.Value {
	v, err := pickle.Load(raw, pickle.Limits{})
	if _, isMapping := pickle.Mapping(v); err != nil || isMapping {
		return p.extensionOf(raw)
	}
	if plain, ok := p.value(v, 1); ok && plain != nil && p.left >= 0 {
		return plain
	}
	return &pickle.Dict{}
}

// value returns v as a client can read it, or reports that none can.
func (p *plainer) value(v pickle.Value, depth int) (pickle.Value, bool) {
	if p.left -= 16; p.left < 0 || depth > maxPlainNesting {
		return nil, false
	}
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return v, true
	case *big.Int:
		return v, !p.packed || v.IsUint64()
	case string:
		p.left -= len(v)
		return v, !p.packed || utf8.ValidString(v)
	case pickle.Bytes:
		p.left -= len(v)
		return v, true
	case pickle.ByteString:
		p.left -= len(v)
		return v.Modern(), true
	case pickle.Tuple:
		items, ok := p.values(v, depth)
		return pickle.Tuple(items), ok
	case *pickle.List:
		items, ok := p.values(v.Items, depth)
		return &pickle.List{Items: items}, ok
	case *pickle.Dict:
		return p.dict(v, depth)
	}
	return nil, false // classes and objects
}

func (p *plainer) values(values []pickle.Value, depth int) ([]pickle.Value, bool) {
	plain := make([]pickle.Value, 0, min(len(values), max(p.left, 0)))
	for _, v := range values {
		v, ok := p.value(v, depth+1)
		if !ok {
			return nil, false
		}
		plain = append(plain, v)
	}
	return plain, true
}

func (p *plainer) dict(d *pickle.Dict, depth int) (pickle.Value, bool) {
	plain := &pickle.Dict{}
	for _, e := range d.Items {
		key, isKey := p.key(e.Key, depth+1)
		value, isPlain := p.value(e.Value, depth+1)
		if !isKey || !isPlain {
			return nil, false
		}
		plain.Items = append(plain.Items, pickle.Pair{Key: key, Value: value})
	}
	return plain, true
}

// key is value for the key of a dictionary.
func (p *plainer) key(v pickle.Value, depth int) (pickle.Value, bool) {
	v, ok := p.value(v, depth)
	if ok && p.packed {
		switch v.(type) {
		case string, pickle.Bytes:
		default:
			return nil, false
		}
	}
	return v, ok && hashable(v)
}

func hashable(v pickle.Value) bool {
	switch v := v.(type) {
	case *pickle.List, *pickle.Dict:
		return false
	case pickle.Tuple:
		for _, item := range v {
			if !hashable(item) {
				return false
			}
		}
	}
	return true
}
