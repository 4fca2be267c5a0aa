package wire

import (
	"bytes"
	"encoding/binary"

	"github.com/zrsd/zrsd/internal/pickle"
)

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

// A LargeStore is where the record of a storea or restorea call is in its message, so that it need not be decoded, nor
// be in memory as a whole.
type LargeStore struct {
	At   int64 // of the record, in the message without its size
	Size int64 // of the record
	// Before is what the message begins with when the record is empty: with what is after the record it can be
	// decoded.
	Before []byte
}

// StoreHead is how much of a message LargeStore looks at.
const StoreHead = 128

// The parts of such a message: the method, both ids, the record.
const (
	storeMethod = "storea" // restorea ends with it, too
	idsLen      = 2 * (2 + 8)
	recordHead  = 1 + 4
)

// parts finds the record after two ids of 8 bytes, each with its mark, when one of opens is between them and the
// method.
func parts(head []byte, opens, mark string, code byte, size func([]byte) uint32, empty string) (s LargeStore, ok bool) {
	at := bytes.Index(head, []byte(storeMethod))
	if at < 0 {
		return s, false
	}
	at += len(storeMethod)
	if len(head) < at+1+idsLen+recordHead || bytes.IndexByte([]byte(opens), head[at]) < 0 {
		return s, false
	}
	ids := head[at+1:]
	at += 1 + idsLen
	if string(ids[:2]) != mark || string(ids[idsLen/2:][:2]) != mark || head[at] != code {
		return s, false
	}
	s.Before = append(append(s.Before, head[:at]...), empty...)
	s.Size = int64(size(head[at+1:]))
	s.At = int64(at + recordHead)
	return s, true
}

func (pickled) LargeStore(head []byte) (LargeStore, bool) {
	return parts(head, "(", "C\x08", 'B', binary.LittleEndian.Uint32, "C\x00")
}

func (packed) LargeStore(head []byte) (LargeStore, bool) {
	return parts(head, "\x94\x95", "\xc4\x08", 0xc6, binary.BigEndian.Uint32, "\xc4\x00")
}
