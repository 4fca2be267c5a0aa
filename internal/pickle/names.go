package pickle

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
