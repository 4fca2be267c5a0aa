package record

import (
	"encoding/binary"
	"fmt"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/zlibrecord"
	"github.com/zrsd/zrsd/zodb"
)

// Limits bound Decode. Zero values mean the defaults.
type Limits struct {
	Bytes int // of an unpacked record; default 64 MiB
	Nodes int // of the tree; default 100,000
}

const (
	defaultBytes = 64 << 20
	defaultNodes = 100_000
	maxDepth     = 400 // of the tree: a container takes two levels at most
)

// A Decoded is what a record says of an object.
type Decoded struct {
	Class      string      `json:"class"` // module.name
	Args       *Node       `json:"args,omitempty"`
	State      *Node       `json:"state"`
	References []Reference `json:"references"` // in the order of the record, one may come several times
	Cut        bool        `json:"-"`          // it has more values than Limits.Nodes
}

// Decode reads the record of an object, one of zc.zlibstorage, too.
func Decode(data []byte, lim Limits) (*Decoded, error) {
	if lim.Bytes <= 0 {
		lim.Bytes = defaultBytes
	}
	if lim.Nodes <= 0 {
		lim.Nodes = defaultNodes
	}
	data, err := zlibrecord.Unpack(data, int64(lim.Bytes))
	if err != nil {
		return nil, err
	}
	class, state, err := pickle.LoadRecord(data, pickle.Limits{Bytes: lim.Bytes})
	if err != nil {
		return nil, err
	}
	b := builder{left: lim.Nodes}
	d := &Decoded{References: []Reference{}}
	var args pickle.Value
	if d.Class, args, err = classOf(class); err != nil {
		return nil, err
	}
	if args != nil {
		d.Args = b.node(args)
	}
	d.State = b.state(d.Class, state)
	d.Cut = b.cut
	b.collect(class, state)
	d.References = append(d.References, b.references...)
	return d, nil
}

// HeadLen is how much of a record is looked at for its class.
const HeadLen = 64 << 10

// ClassOf returns the class that a record names, as module.name; empty where it does not. The beginning of the record
// is enough, HeadLen bytes at most.
func ClassOf(head []byte) string {
	v, _, err := pickle.LoadPrefix(zlibrecord.Head(head, HeadLen), pickle.Limits{})
	if err != nil {
		return ""
	}
	class, _, err := classOf(v)
	if err != nil {
		return ""
	}
	return class
}

// classOf reads what makes an object: a class, or a tuple of it and of arguments, where a class may be a tuple of its
// module and name.
func classOf(v pickle.Value) (class string, args pickle.Value, err error) {
	if t, ok := v.(pickle.Tuple); ok && len(t) == 2 {
		if name, ok := className(t); ok {
			return name, nil, nil
		}
		v, args = t[0], t[1]
	}
	if name, ok := className(v); ok {
		return name, args, nil
	}
	return "", nil, fmt.Errorf("the class of the record is a %T, which is no class", v)
}

// className returns the name of a class as module.name.
func className(v pickle.Value) (string, bool) {
	switch v := v.(type) {
	case pickle.Global:
		return v.Module + "." + v.Name, true
	case pickle.Extension:
		return fmt.Sprintf("copyreg extension %d", int32(v)), true
	case pickle.Tuple:
		if len(v) != 2 {
			return "", false
		}
		module, ok := pickle.Text(v[0])
		name, too := pickle.Text(v[1])
		return module + "." + name, ok && too
	case pickle.Persistent: // a class that is an object of the database
		if ref, ok := referenceOf(v); ok {
			return "object " + ref.Oid.String(), true
		}
	}
	return "", false
}

// referenceOf reads a persistent id.
func referenceOf(p pickle.Persistent) (r Reference, ok bool) {
	switch id := p.ID.(type) {
	case pickle.Tuple:
		if len(id) != 2 {
			return r, false
		}
		r.Class, _ = className(id[1])
		return r, r.setOid(id[0])
	case *pickle.List:
		return listReference(id.Items)
	default:
		return r, r.setOid(id)
	}
}

// listReference reads the forms that are lists.
func listReference(items []pickle.Value) (r Reference, ok bool) {
	if len(items) == 1 {
		r.Weak = true
		return r, r.setOid(items[0])
	}
	if len(items) != 2 {
		return r, false
	}
	form, _ := pickle.Text(items[0])
	args, _ := items[1].(pickle.Tuple)
	switch {
	case form == "w" && len(args) == 1:
		r.Weak = true
		return r, r.setOid(args[0])
	case form == "w" && len(args) == 2:
		r.Weak = true
		return r, r.setDatabase(args[1]) && r.setOid(args[0])
	case form == "w" && len(args) == 0: // as zodbupdate writes them
		r.Weak = true
		return r, r.setOid(items[1])
	case form == "m" && len(args) == 3:
		r.Class, _ = className(args[2])
		return r, r.setDatabase(args[0]) && r.setOid(args[1])
	case form == "n" && len(args) == 2, form == "m" && len(args) == 2:
		return r, r.setDatabase(args[0]) && r.setOid(args[1])
	}
	return r, false
}

func (r *Reference) setDatabase(v pickle.Value) (ok bool) {
	if b, is := v.(pickle.Bytes); is {
		v = string(b)
	}
	r.Database, ok = pickle.Text(v)
	return ok
}

func (r *Reference) setOid(v pickle.Value) bool {
	var b []byte
	switch v := v.(type) {
	case pickle.Bytes:
		b = v
	case pickle.ByteString:
		b = v
	case string:
		b = []byte(v)
	}
	if len(b) != 8 {
		return false
	}
	r.Oid = zodb.Oid(binary.BigEndian.Uint64(b))
	return true
}
