package references

import (
	"encoding/binary"
	"strconv"

	"github.com/zrsd/zrsd/zodb"
)

func (s *Scanner) byte() byte {
	b := s.take(1)
	if b == nil {
		return 0
	}
	return b[0]
}

func (s *Scanner) skip(n uint64) { s.take(n) }

// take returns the next n bytes, nil where they are missing.
func (s *Scanner) take(n uint64) []byte {
	if n > uint64(len(s.data)-s.pos) {
		s.fail("%d bytes are missing", n-uint64(len(s.data)-s.pos))
		return nil
	}
	b := s.data[s.pos:][:n]
	s.pos += int(n)
	return b
}

// uint reads a little-endian number of 1, 4 or 8 bytes. Lengths that Python takes as negative numbers are too long for
// any record.
func (s *Scanner) uint(n uint64) uint64 {
	b := s.take(n)
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 8:
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// line returns what is before the next newline, and steps after it.
func (s *Scanner) line() []byte {
	for i := s.pos; i < len(s.data); i++ {
		if s.data[i] == '\n' {
			b := s.data[s.pos:i]
			s.pos = i + 1
			return b
		}
	}
	s.fail("a line does not end")
	return nil
}

func (s *Scanner) decimal() uint64 {
	n, err := strconv.ParseUint(string(s.line()), 10, 32)
	if err != nil {
		s.fail("not a memo number: %v", err)
	}
	return n
}

// spanned takes the next n bytes as a string, with its place.
func (s *Scanner) spanned(of func([]byte) value, n uint64) value {
	v := of(s.take(n))
	if s.err == nil {
		v.text = Span{At: uint32(s.pos) - uint32(n), Len: uint32(n)}
	}
	return v
}

// byteString is the value of a string of bytes.
func byteString(b []byte) value {
	if len(b) != 8 {
		return value{}
	}
	return value{oid: zodb.Oid(binary.BigEndian.Uint64(b)), shape: shape{kind: oid}}
}

// Other lengths of a text in UTF-8 matter to nobody.
const (
	shortestCodec = len("latin1")
	longestOid    = 2 * 8
)

// notASCII are the bits of 8 characters that say that one is not.
const notASCII = 0x8080808080808080

// text is the value of a string of characters in UTF-8.
func text(b []byte) value {
	switch n := len(b); {
	case n > longestOid || n < shortestCodec:
		return value{}
	case n >= 8 && (binary.LittleEndian.Uint64(b)|binary.LittleEndian.Uint64(b[n-8:]))&notASCII == 0:
		if n == 8 {
			return byteString(b)
		}
		return value{} // as most names
	}
	var room [longestOid]byte
	one := room[:0]
	for _, c := range string(b) {
		if c > 0xff {
			return value{}
		}
		one = append(one, byte(c))
	}
	return latin(one)
}

// latin is the value of a string of characters, one byte for each. It is an oid only when all are ASCII; others can be
// encoded to one.
func latin(b []byte) value {
	v := byteString(b)
	if string(b) == "latin1" || string(b) == "latin-1" {
		v.kind = codec
	}
	for _, c := range b {
		if c > 0x7f && v.kind == oid {
			v.kind = chars
		}
	}
	return v
}

// unquote decodes a Python string literal as protocol 0 has it, nil when it is none.
func unquote(b []byte) []byte {
	if len(b) < 2 || b[0] != b[len(b)-1] || b[0] != '\'' && b[0] != '"' {
		return nil
	}
	b = b[1 : len(b)-1]
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		i++
		switch c := b[i]; c {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'x':
			n, err := strconv.ParseUint(string(b[i+1:min(i+3, len(b))]), 16, 8)
			if err != nil {
				return nil
			}
			out = append(out, byte(n))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out
}

// unescape decodes a UNICODE opcode, with one byte for each character up to U+00FF; nil where there are others.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+5 >= len(b) || b[i+1] != 'u' {
			out = append(out, b[i])
			continue
		}
		n, err := strconv.ParseUint(string(b[i+2:i+6]), 16, 16)
		if err != nil || n > 0xff {
			return nil
		}
		out = append(out, byte(n))
		i += 5
	}
	return out
}
