package protocol

import (
	"bytes"
	"fmt"
	"io"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/zrsd/zrsd/zodb"
)

// A message is a msgpack array of two: its kind, a string, and its body, a map from field names to values. Fields that
// a reader does not know are skipped, fields that are missing keep their zero value.
const messageParts = 2

// Ids, digests, magics, nonces and MACs travel as bin of their exact length, in messages as in frames.
func init() {
	registerBytes(8, func(v reflect.Value) []byte { b := zodb.Tid(v.Uint()).Bytes(); return b[:] },
		func(b []byte) zodb.Tid { return tidFrom(b) })
	registerBytes(8, func(v reflect.Value) []byte { b := zodb.Oid(v.Uint()).Bytes(); return b[:] },
		func(b []byte) zodb.Oid { return zodb.Oid(tidFrom(b)) })
	registerBytes(len(zodb.Digest{}), func(v reflect.Value) []byte { d := v.Interface().(zodb.Digest); return d[:] },
		func(b []byte) zodb.Digest { return zodb.Digest(b) })
	registerBytes(len(Nonce{}), func(v reflect.Value) []byte { n := v.Interface().(Nonce); return n[:] },
		func(b []byte) Nonce { return Nonce(b) })
	registerBytes(len(MAC{}), func(v reflect.Value) []byte { m := v.Interface().(MAC); return m[:] },
		func(b []byte) MAC { return MAC(b) })
	registerBytes(len(zodb.Magic{}), func(v reflect.Value) []byte { m := v.Interface().(zodb.Magic); return m[:] },
		func(b []byte) zodb.Magic { return zodb.Magic(b) })
}

// registerBytes makes values of type T travel as bin of exactly n bytes.
func registerBytes[T any](n int, to func(reflect.Value) []byte, from func([]byte) T) {
	encode := func(e *msgpack.Encoder, v reflect.Value) error { return e.EncodeBytes(to(v)) }
	decode := func(d *msgpack.Decoder, v reflect.Value) error {
		got, err := d.DecodeBytesLen()
		if err != nil {
			return err
		}
		if got != n {
			return fmt.Errorf("%v of %d bytes, want %d", v.Type(), got, n)
		}
		b := make([]byte, n)
		if err := d.ReadFull(b); err != nil {
			return err
		}
		v.Set(reflect.ValueOf(from(b)))
		return nil
	}
	var zero T
	msgpack.Register(zero, encode, decode)
}

func marshalMessage(kind string, body any) ([]byte, error) {
	var buf bytes.Buffer
	e := msgpack.NewEncoder(&buf)
	e.UseCompactInts(true)
	for _, err := range []error{e.EncodeArrayLen(messageParts), e.EncodeString(kind), e.Encode(body)} {
		if err != nil {
			return nil, fmt.Errorf("encoding a %s message: %w", kind, err)
		}
	}
	return buf.Bytes(), nil
}

// splitMessage checks the form of a whole message and returns its kind and the msgpack of its body.
func splitMessage(payload []byte) (kind string, body []byte, err error) {
	if err := checkShape(payload); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errCorruptMessage, err)
	}
	r := bytes.NewReader(payload)
	d := msgpack.NewDecoder(r)
	if n, err := d.DecodeArrayLen(); err != nil || n != messageParts {
		return "", nil, fmt.Errorf("%w: not an array of kind and body", errCorruptMessage)
	}
	if kind, err = d.DecodeString(); err != nil {
		return "", nil, fmt.Errorf("%w: its kind: %w", errCorruptMessage, err)
	}
	return kind, payload[len(payload)-r.Len():], nil
}

func unmarshalBody(body []byte, into any) error {
	r := bytes.NewReader(body)
	d := msgpack.NewDecoder(r)
	if n, err := d.DecodeMapLen(); err != nil || n < 0 {
		return fmt.Errorf("%w: its body is no map", errCorruptMessage)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: its body: %w", errCorruptMessage, err)
	}
	return nil
}
