package wire

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/big"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/zrsd/zrsd/internal/pickle"
)

// packed is the encoding M.
type packed struct{}

func (packed) Decode(b []byte) (*Message, error) {
	if v, ok := plainPacked(b); ok {
		return message(v)
	}
	return generalPacked(b)
}

func generalPacked(b []byte) (*Message, error) {
	u := &unpacker{body: b, in: bytes.NewReader(b)}
	u.dec = msgpack.NewDecoder(u.in)
	v, err := u.value(0)
	if err != nil {
		return nil, fmt.Errorf("msgpack: %w", err)
	}
	if u.in.Len() > 0 {
		return nil, fmt.Errorf("msgpack: %d bytes after the message", u.in.Len())
	}
	return message(v)
}

// An unpacker reads one message. A bytes.Reader is read without another buffer before it, so Len is what is left.
type unpacker struct {
	body []byte
	in   *bytes.Reader // of body
	dec  *msgpack.Decoder
	made int // values
}

// firstItems is how many items of an array or map have room at first. How many are announced counts for nothing: within
// each other, arrays can announce much more than the message has bytes.
const firstItems = 64

func (u *unpacker) value(depth int) (pickle.Value, error) {
	if depth > limits.Nesting {
		return nil, &pickle.LimitError{What: "nesting", Max: limits.Nesting}
	}
	if u.made++; u.made > limits.Values {
		return nil, &pickle.LimitError{What: "values", Max: limits.Values}
	}
	code, err := u.dec.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case code == msgpcode.Nil:
		return nil, u.dec.DecodeNil()
	case code == msgpcode.True, code == msgpcode.False:
		return u.dec.DecodeBool()
	case code == msgpcode.Float, code == msgpcode.Double:
		return u.dec.DecodeFloat64()
	case code == msgpcode.Uint64:
		n, err := u.dec.DecodeUint64()
		if n > math.MaxInt64 {
			return new(big.Int).SetUint64(n), err
		}
		return int64(n), err
	case msgpcode.IsFixedNum(code), code >= msgpcode.Uint8 && code <= msgpcode.Int64:
		return u.dec.DecodeInt64()
	case msgpcode.IsString(code):
		return u.text()
	case msgpcode.IsBin(code):
		return u.bytes()
	case msgpcode.IsFixedArray(code), code == msgpcode.Array16, code == msgpcode.Array32:
		return u.tuple(depth)
	case msgpcode.IsFixedMap(code), code == msgpcode.Map16, code == msgpcode.Map32:
		return u.dict(depth)
	}
	return nil, fmt.Errorf("code %#x has no meaning here", code)
}

// room checks a length against what is left before anything is allocated for it.
func (u *unpacker) room(n int, err error) (int, error) {
	if err == nil && (n < 0 || n > u.in.Len()) {
		err = fmt.Errorf("%d are announced and %d bytes are left", n, u.in.Len())
	}
	return n, err
}

// bytes are those of the message, not a copy, as with the other encoding.
func (u *unpacker) bytes() (pickle.Bytes, error) {
	n, err := u.room(u.dec.DecodeBytesLen())
	if err != nil {
		return nil, err
	}
	at := len(u.body) - u.in.Len()
	_, err = u.in.Seek(int64(n), io.SeekCurrent)
	return u.body[at : at+n : at+n], err
}

func (u *unpacker) text() (string, error) {
	b, err := u.bytes()
	return string(b), err
}

func (u *unpacker) tuple(depth int) (pickle.Value, error) {
	n, err := u.room(u.dec.DecodeArrayLen())
	if err != nil {
		return nil, err
	}
	t := make(pickle.Tuple, 0, min(n, firstItems))
	for range n {
		v, err := u.value(depth + 1)
		if err != nil {
			return nil, err
		}
		t = append(t, v)
	}
	return t, nil
}

func (u *unpacker) dict(depth int) (pickle.Value, error) {
	n, err := u.room(u.dec.DecodeMapLen())
	if err != nil {
		return nil, err
	}
	d := &pickle.Dict{Items: make([]pickle.Pair, 0, min(n, firstItems))}
	for range n {
		var p pickle.Pair
		if p.Key, err = u.value(depth + 1); err != nil {
			return nil, err
		}
		if p.Value, err = u.value(depth + 1); err != nil {
			return nil, err
		}
		d.Items = append(d.Items, p)
	}
	return d, nil
}
