package wire

import "github.com/zrsd/zrsd/pickle"

// limits bound what a message may make us allocate beyond its own size. Nesting is deep enough for what applications
// put into an extension dictionary.
var limits = pickle.Limits{Bytes: 1 << 32, Values: 4_000_000, Nesting: 100}

// pickled is the encoding Z.
type pickled struct{}

func (pickled) Decode(b []byte) (*Message, error) {
	v, err := pickle.Load(b, limits)
	if err != nil {
		return nil, err
	}
	return message(v)
}

func (pickled) Append(out []byte, m *Message) ([]byte, error) {
	return appendSized(out, func(out []byte) ([]byte, error) {
		return pickle.AppendDump(out, pickle.Tuple{m.ID, m.flag(), m.Method, m.Args}, pickle.Proto3Fast, limits)
	})
}
