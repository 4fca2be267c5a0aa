package zrs

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/zrsd/zrsd/internal/pickle"
)

// Nearly all messages are plain: a kind, and a tuple of nothing but bytes, text, None and an empty dictionary, written
// as Python 3 writes them in protocol 1. That form is written and read here in one pass, which is four times as fast as
// to go through package pickle, and small transactions are mostly pickles. What is not plain goes there.
//
//	(  X kind  (  content  t  t  .        a message
//	X  length, 4 bytes, little-endian  UTF-8                              text
//	c_codecs\nencode\n  (  text of one code point per byte  latin1  t  R  bytes
//	c__builtin__\nbytes\n  )  R                                           no bytes
//	N                                                                     None
//	}                                                                     an empty dictionary
const (
	plainBegin = "("
	plainEnd   = "tt."

	bytesBegin = "c_codecs\nencode\n("
	bytesEnd   = "X\x06\x00\x00\x00latin1tR"
	noBytes    = "c__builtin__\nbytes\n)R"

	maxFields = 5

	opText = 'X'
	opNone = 'N'
	opDict = '}'
)

// appendPlain appends a message to out, or reports that it is not plain.
func appendPlain(out []byte, kind string, content pickle.Tuple) ([]byte, bool) {
	out = appendText(append(out, plainBegin...), kind)
	out = append(out, plainBegin...)
	for _, v := range content {
		switch v := v.(type) {
		case nil:
			out = append(out, opNone)
		case string:
			out = appendText(out, v)
		case pickle.Bytes:
			out = appendBytes(out, v)
		case *pickle.Dict:
			if len(v.Items) > 0 {
				return out, false
			}
			out = append(out, opDict)
		default:
			return out, false
		}
	}
	return append(out, plainEnd...), true
}

func appendText(out []byte, s string) []byte {
	out = binary.LittleEndian.AppendUint32(append(out, opText), uint32(len(s)))
	return append(out, s...)
}

func appendBytes(out, b []byte) []byte {
	if len(b) == 0 {
		return append(out, noBytes...)
	}
	out = append(out, bytesBegin...)
	out = append(out, opText, 0, 0, 0, 0)
	begin := len(out)
	for _, c := range b {
		out = utf8.AppendRune(out, rune(c))
	}
	binary.LittleEndian.PutUint32(out[begin-4:], uint32(len(out)-begin))
	return append(out, bytesEnd...)
}

// A plainReader reads plain messages. What it returns is used again for the next message.
type plainReader struct {
	left    []byte
	content pickle.Tuple
	decoded []byte // of all bytes in content
}

// open is the function open for a plain message, and reports whether it is one.
func (r *plainReader) open(message []byte) (kind string, f fields, plain bool) {
	r.left, r.content, r.decoded = message, r.content[:0], r.decoded[:0]
	name, ok := []byte(nil), r.skip(plainBegin)
	if ok {
		name, ok = r.text()
	}
	ok = ok && r.skip(plainBegin)
	for ok && !r.skip(plainEnd) {
		ok = len(r.content) < maxFields && r.value()
	}
	return string(name), fields{left: r.content}, ok && len(r.left) == 0
}

func (r *plainReader) skip(text string) bool {
	rest, found := bytes.CutPrefix(r.left, []byte(text))
	r.left = rest
	return found
}

// value reads one value of the content.
func (r *plainReader) value() bool {
	if len(r.left) == 0 {
		return false
	}
	switch {
	case r.left[0] == opText:
		text, ok := r.text()
		r.content = append(r.content, string(text))
		return ok
	case r.skip(bytesBegin):
		return r.bytes()
	case r.skip(string(opNone)):
		r.content = append(r.content, nil)
		return true
	case r.skip(string(opDict)):
		r.content = append(r.content, &pickle.Dict{})
		return true
	case r.skip(noBytes):
		r.content = append(r.content, pickle.Bytes{})
		return true
	}
	return false
}

func (r *plainReader) text() (text []byte, ok bool) {
	const head = 1 + 4
	if len(r.left) < head || r.left[0] != opText {
		return nil, false
	}
	size := uint64(binary.LittleEndian.Uint32(r.left[1:]))
	if size > uint64(len(r.left)-head) {
		return nil, false
	}
	text, r.left = r.left[head:head+size], r.left[head+size:]
	return text, utf8.Valid(text)
}

// bytes reads the text that stands for bytes, one code point for each.
func (r *plainReader) bytes() bool {
	text, ok := r.text()
	if !ok || !r.skip(bytesEnd) {
		return false
	}
	begin := len(r.decoded)
	for i := 0; i < len(text); {
		c, size := rune(text[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRune(text[i:])
		}
		if c > 0xff || c == utf8.RuneError {
			return false
		}
		r.decoded = append(r.decoded, byte(c))
		i += size
	}
	r.content = append(r.content, pickle.Bytes(r.decoded[begin:len(r.decoded):len(r.decoded)]))
	return true
}
