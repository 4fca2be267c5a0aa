package pickle

import (
	"fmt"
	"unicode/utf8"
)

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

// A syntaxError says that something is not a pickle, or not one that is read here.
type syntaxError struct {
	offset int // of the opcode, from the beginning of the pickle
	text   string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("pickle: offset %d: %s", e.offset, e.text) }

// A LimitError says that a pickle exceeds a limit, in being read or in being written.
type LimitError struct {
	What string // "bytes", "values" or "nesting"
	Max  int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("pickle: more %s than the %d that are allowed", e.What, e.Max)
}

// A TypeError says that a Value cannot be written.
type TypeError struct{ Value Value }

func (e *TypeError) Error() string { return fmt.Sprintf("pickle: cannot write a %T", e.Value) }

// Limits bound Load and Dump. Zero values mean the defaults.
type Limits struct {
	Bytes   int // of the pickle; default 64 MiB
	Values  int // that Load makes and remembers; default 1 million
	Nesting int // of containers in containers; default 200

	// Global says which classes Load takes; nil: all. With it, there are no Extensions and no Persistents either.
	Global func(Global) bool
}

func (l Limits) withDefaults() Limits {
	orElse := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	orElse(&l.Bytes, 64<<20)
	orElse(&l.Values, 1_000_000)
	orElse(&l.Nesting, 200)
	return l
}

// renamed has the names of Python 2 that pickles in the field contain, by those of Python 3.
var renamed = map[Global]Global{
	{"builtins", "str"}:             {"__builtin__", "unicode"},
	{"builtins", "range"}:           {"__builtin__", "xrange"},
	{"functools", "reduce"}:         {"__builtin__", "reduce"},
	{"collections", "UserDict"}:     {"UserDict", "UserDict"},
	{"collections", "UserList"}:     {"UserList", "UserList"},
	{"collections", "UserString"}:   {"UserString", "UserString"},
	{"builtins", "int"}:             {"__builtin__", "long"},
	{"itertools", "zip_longest"}:    {"itertools", "izip_longest"},
	{"itertools", "filterfalse"}:    {"itertools", "ifilterfalse"},
	{"builtins", "zip"}:             {"itertools", "izip"},
	{"builtins", "map"}:             {"itertools", "imap"},
	{"builtins", "filter"}:          {"itertools", "ifilter"},
	{"builtins", "chr"}:             {"__builtin__", "unichr"},
	{"sys", "intern"}:               {"__builtin__", "intern"},
	{"urllib.parse", "ParseResult"}: {"urlparse", "ParseResult"},
	{"urllib.parse", "SplitResult"}: {"urlparse", "SplitResult"},
}

// moved has the modules of Python 2 by those of Python 3.
var moved = map[string]string{
	"builtins": "__builtin__",
	"copyreg":  "copy_reg",
	"queue":    "Queue",
}

var (
	nameNow   = reversed(renamed)
	moduleNow = reversed(moved)
)

func reversed[K comparable](m map[K]K) map[K]K {
	out := make(map[K]K, len(m))
	for k, v := range m {
		out[v] = k
	}
	return out
}

// modern returns a name of Python 2 as Python 3 has it.
func (g Global) modern() Global { return translate(g, nameNow, moduleNow) }

// classic returns a name of Python 3 as Python 2 has it.
func (g Global) classic() Global { return translate(g, renamed, moved) }

func translate(g Global, names map[Global]Global, modules map[string]string) Global {
	if other, ok := names[g]; ok {
		return other
	}
	if module, ok := modules[g.Module]; ok {
		return Global{module, g.Name}
	}
	return g
}
