package pickle

import "unicode/utf8"

// A Value is one of the types that the package comment lists.
type Value any

// Bytes is a value of Python's bytes.
type Bytes []byte

// A ByteString is a value of Python 2's str.
type ByteString []byte

// Modern is what Python 3 makes of a ByteString: text where it is ASCII, else bytes.
func (b ByteString) Modern() Value {
	if isASCII(b) {
		return string(b)
	}
	return Bytes(b)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// A Tuple is a value of Python's tuple.
type Tuple []Value

// A List is a value of Python's list.
type List struct{ Items []Value }

// A Dict is a value of Python's dict, in the order of its pickle. A key may be there more than once: the last counts.
type Dict struct{ Items []Pair }

// A Pair is an entry of a Dict.
type Pair struct{ Key, Value Value }

// Get returns the value of a text key. Keys of Python 2 count as text.
func (d *Dict) Get(key string) (v Value, ok bool) {
	for _, p := range d.Items {
		if text, isText := Text(p.Key); isText && text == key {
			v, ok = p.Value, true
		}
	}
	return v, ok
}

// Text returns a string or a ByteString as text.
func Text(v Value) (string, bool) {
	switch t := v.(type) {
	case string:
		return t, true
	case ByteString:
		return string(t), true
	}
	return "", false
}

// A Global is something that a pickle names by module and name: a class, mostly.
type Global struct{ Module, Name string }

// An Extension is a Global with a number in the registry of copyreg.
type Extension int32

// A Persistent is a reference to a persistent object; its ID is whatever the application's pickler wrote.
type Persistent struct{ ID Value }

// A Making says how an object is made from its class and arguments.
type Making byte

// The ways to make an object; each is the opcode that does it.
const (
	MakeReduce Making = opReduce   // Class(*Args), Class being any callable
	MakeNew    Making = opNewObj   // Class.__new__(Class, *Args)
	MakeNewEx  Making = opNewObjEx // Class.__new__(Class, *Args, **Keywords)
	MakeInst   Making = opObj      // an instance of a Python 2 class
)

// An Object is what a pickle says about an object: how to make it, and what to do to it then.
type Object struct {
	Make     Making
	Class    Value
	Args     Value   // a Tuple, in any pickle that Python wrote
	Keywords Value   // for MakeNewEx
	Appended []Value // for objects that are lists or sets
	Set      []Pair  // for objects that are dictionaries
	State    Value   // for BUILD, when HasState
	HasState bool
}

// IsFalse reports whether Python counts v as false. Objects count as true, but for dictionaries of any class.
func IsFalse(v Value) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case int64:
		return v == 0
	case float64:
		return v == 0
	case string:
		return v == ""
	case Bytes:
		return len(v) == 0
	case ByteString:
		return len(v) == 0
	case Tuple:
		return len(v) == 0
	case *List:
		return len(v.Items) == 0
	}
	d, ok := Mapping(v)
	return ok && len(d.Items) == 0
}
