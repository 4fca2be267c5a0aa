package wire

import "github.com/zrsd/zrsd/internal/pickle"

// limits bound what a message may make us allocate beyond its own size. Nesting is deep enough for what applications
// put into an extension dictionary.
var limits = pickle.Limits{Bytes: 1 << 32, Values: 4_000_000, Nesting: 100}

// classes are those that a message of a client may name, as with the reference server. That lets all of builtins in,
// and runs them; of these, clients have a use for the ones that are values.
var classes = map[pickle.Global]bool{
	{Module: "ZopeUndo.Prefix", Name: "Prefix"}: true, // in filters of undoInfo
	{Module: "zodbpickle", Name: "binary"}:      true,
	{Module: "builtins", Name: "dict"}:          true, // in extensions, and the next four
	{Module: "builtins", Name: "set"}:           true,
	{Module: "builtins", Name: "frozenset"}:     true,
	{Module: "builtins", Name: "bytearray"}:     true,
	{Module: "builtins", Name: "complex"}:       true,
}

// calls is limits for what clients call.
var calls = pickle.Limits{
	Bytes: limits.Bytes, Values: limits.Values, Nesting: limits.Nesting,
	Global: func(g pickle.Global) bool { return classes[g] },
}

// pickled is the encoding Z.
type pickled struct{}

// Decode lets only calls be without other classes: servers put exceptions of theirs into errors, which are replies.
func (pickled) Decode(b []byte) (*Message, error) {
	if v, ok := plainPickle(b); ok {
		return message(v)
	}
	return generalPickle(b)
}

func generalPickle(b []byte) (*Message, error) {
	v, refused := pickle.Load(b, calls)
	if refused == nil {
		return message(v)
	}
	v, err := pickle.Load(b, limits)
	if err != nil {
		return nil, err
	}
	if m, err := message(v); err == nil && m.IsReply() {
		return m, nil
	}
	return nil, refused
}

func (pickled) Append(out []byte, m *Message) ([]byte, error) {
	return appendSized(out, func(out []byte) ([]byte, error) {
		return pickle.AppendDump(out, pickle.Tuple{m.ID, m.flag(), m.Method, m.Args}, pickle.Proto3Fast, limits)
	})
}
