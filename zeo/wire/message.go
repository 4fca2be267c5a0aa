package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/internal/pickle"
)

// The encodings, as the first messages of both sides name them.
const (
	Z5 = "Z5"
	M5 = "M5"
)

// ReplyMethod is the method of replies and keep-alives.
const ReplyMethod = ".reply"

// The flags of a message.
const (
	flagCall   = 0
	flagOneWay = 1
	flagError  = 2
)

// A Message is one that was decoded, or is to be encoded.
type Message struct {
	ID     pickle.Value
	Flag   int
	Method string
	Args   pickle.Value
}

// OneWay reports whether a call wants no reply.
func (m *Message) OneWay() bool { return m.Flag == flagOneWay }

// IsReply reports whether m is a reply, or a keep-alive, which looks like one.
func (m *Message) IsReply() bool { return m.Method == ReplyMethod }

// Reply answers the call with this id.
func Reply(id, result pickle.Value) *Message { return &Message{id, flagCall, ReplyMethod, result} }

// Failure answers the call with this id with an exception: the dotted name of its class, and its arguments or
// attributes.
func Failure(id pickle.Value, class string, details pickle.Value) *Message {
	return &Message{id, flagError, ReplyMethod, pickle.Tuple{class, details}}
}

// Call is one of the server's, which want no reply.
func Call(method string, args ...pickle.Value) *Message {
	return &Message{int64(0), flagOneWay, method, pickle.Tuple(args)}
}

// A Codec is one of the two encodings. It is safe for concurrent use.
type Codec interface {
	// Decode reads a message without its size. Whatever is wrong with it is an error.
	Decode(b []byte) (*Message, error)
	// LargeStore looks for the record in the beginning of a storea or restorea message.
	LargeStore(head []byte) (LargeStore, bool)
	// Append appends the message with its size to out.
	Append(out []byte, m *Message) ([]byte, error)
	// Load reads a message without its size if it is a Load as clients write it.
	Load(b []byte) (Load, bool)
	// AppendLoaded appends what Append would for the reply to l. Data must be shorter than 4 GiB by 100 bytes.
	AppendLoaded(out []byte, l Load, r Loaded) []byte
	// Called returns the method of a message without its size if it is a call as servers write theirs, which want no
	// reply: who does not want to know of one need not decode it. The method is a part of b.
	Called(b []byte) (method []byte, ok bool)
	// AppendLoad appends what Append would for the call l.
	AppendLoad(out []byte, l Load) []byte
	// Loaded reads a message without its size if it is what AppendLoaded makes: a reply to a Load that has found a
	// revision, in the form that servers write. Data is a part of b.
	Loaded(b []byte) (Load, Loaded, bool)
}

// CodecFor returns the codec of an encoding's name, and whether there is one.
func CodecFor(name string) (Codec, bool) {
	switch name {
	case Z5:
		return pickled{}, true
	case M5:
		return packed{}, true
	}
	return nil, false
}

// errMessage says that a value is not a message.
var errMessage = errors.New("not a tuple of id, flag, method and arguments")

// message reads the tuple.
func message(v pickle.Value) (*Message, error) {
	t, _ := v.(pickle.Tuple)
	if len(t) != 4 {
		return nil, errMessage
	}
	m := &Message{ID: t[0], Args: t[3]}
	switch flag := t[1].(type) {
	case bool:
		if flag {
			m.Flag = flagOneWay
		}
	case int64:
		m.Flag = int(min(max(flag, flagCall), flagError))
	default:
		return nil, fmt.Errorf("%w: the flag is a %T", errMessage, t[1])
	}
	var isText bool
	if m.Method, isText = t[2].(string); !isText {
		return nil, fmt.Errorf("%w: the method is a %T", errMessage, t[2])
	}
	return m, nil
}

// flag is as the reference server writes it: a boolean in calls, a number in replies.
func (m *Message) flag() pickle.Value {
	if m.Method == ReplyMethod {
		return int64(m.Flag)
	}
	return m.Flag != flagCall
}

// SizeLen is the length of the size before each message.
const SizeLen = 4

// Next waits for the next message and returns its length, with that of its size. It reads nothing of it.
func Next(r *bufio.Reader) (int64, error) {
	head, err := r.Peek(SizeLen)
	if err != nil {
		return 0, err
	}
	return SizeLen + int64(binary.BigEndian.Uint32(head)), nil
}

// A SizeError says that a message is longer than allowed. Nothing of it was read.
type SizeError struct{ Size, Max int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("a message of %d bytes, and at most %d are allowed", e.Size, e.Max)
}

// Read reads the next message, without its size, into memory of its own. The end of r between two messages is io.EOF.
// It reads in steps, so that a size takes no more memory than 1 MiB, or 16 times as many bytes as follow it.
func Read(r io.Reader, limit int64) ([]byte, error) { return ReadInto(nil, r, limit) }

// ReadInto is Read into the memory of spare, where the message finds room there and does not keep more than twice its
// size.
func ReadInto(spare []byte, r io.Reader, limit int64) ([]byte, error) {
	var head [SizeLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > limit {
		return nil, &SizeError{n, limit}
	}
	const first, factor = 1 << 20, 16
	var b []byte
	if room := int64(cap(spare)); n <= room && n >= room/2 {
		b = spare[:0:n]
	} else {
		b = make([]byte, 0, min(n, first))
	}
	for int64(len(b)) < n {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(n, int64(len(b))*factor)), b...)
		}
		have := len(b)
		b = b[:cap(b)]
		if _, err := io.ReadFull(r, b[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return b, nil
}

// AppendRaw appends b as a message of its own: an announcement, an answer to ruok.
func AppendRaw(out, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
}

// appendSized lets fill append a message, and puts its size before it.
func appendSized(out []byte, fill func([]byte) ([]byte, error)) ([]byte, error) {
	at := len(out)
	full, err := fill(append(out, 0, 0, 0, 0))
	if err != nil {
		return out, err
	}
	n := int64(len(full) - at - SizeLen)
	if n > 1<<32-1 {
		return out, &SizeError{n, 1<<32 - 1}
	}
	binary.BigEndian.PutUint32(full[at:], uint32(n))
	return full, nil
}
