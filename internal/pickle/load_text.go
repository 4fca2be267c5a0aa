package pickle

import (
	"strconv"
	"unicode/utf8"
)

// text runs the opcodes of text and bytes.
func (m *machine) text(op byte) bool {
	switch op {
	case opUnicode:
		m.push(m.rawUnicode(m.line()), 0)
	case opBinUnicode:
		m.unicode(m.take(uint64(m.uint32())))
	case opShortUnicode:
		m.unicode(m.take(uint64(m.byte())))
	case opBinUnicode8:
		m.unicode(m.take(m.uint64()))
	case opBinBytes:
		m.push(Bytes(m.take(uint64(m.uint32()))), 0)
	case opShortBytes:
		m.push(Bytes(m.take(uint64(m.byte()))), 0)
	case opBinBytes8:
		m.push(Bytes(m.take(m.uint64())), 0)
	case opByteArray8:
		m.push(byteArray(m.take(m.uint64())), 2)
	case opNextBuffer, opReadOnlyBuffer:
		m.fail("a buffer that is outside of the pickle")
	case opString:
		m.push(m.quoted(m.line()), 0)
	case opBinString:
		m.push(ByteString(m.take(uint64(m.uint32()))), 0)
	case opShortStr:
		m.push(ByteString(m.take(uint64(m.byte()))), 0)
	default:
		return false
	}
	return true
}

// byteArray returns what protocols below 5 have for a bytearray.
func byteArray(b []byte) *Object {
	return &Object{Make: MakeReduce, Class: Global{"builtins", "bytearray"}, Args: Tuple{Bytes(b)}}
}

// unicode pushes text. Python writes lone surrogates as if they were characters; nothing else may be wrong with it.
func (m *machine) unicode(b []byte) {
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n <= 1 {
			if n = 3; !surrogate(rest) {
				m.fail("text that is not UTF-8")
				return
			}
		}
		rest = rest[n:]
	}
	m.push(string(b), 0)
}

// surrogate reports whether b begins with a lone surrogate.
func surrogate(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xed && b[1]&0xe0 == 0xa0 && b[2]&0xc0 == 0x80
}

// rawUnicode decodes Python's raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX.
func (m *machine) rawUnicode(line []byte) string {
	out := make([]byte, 0, len(line))
	for i := 0; i < len(line); i++ {
		digits := 0
		if line[i] == '\\' && i+1 < len(line) {
			digits = map[byte]int{'u': 4, 'U': 8}[line[i+1]]
		}
		if digits == 0 {
			out = utf8.AppendRune(out, rune(line[i]))
			continue
		}
		if i+2+digits > len(line) {
			m.fail("a cut escape in text")
			return ""
		}
		n, err := strconv.ParseUint(string(line[i+2:i+2+digits]), 16, 32)
		if err != nil || n > utf8.MaxRune {
			m.fail("a wrong escape in text")
			return ""
		}
		out = appendPoint(out, rune(n))
		i += 1 + digits
	}
	return string(out)
}

// appendPoint appends a code point, a lone surrogate as Python writes it.
func appendPoint(out []byte, r rune) []byte {
	if r >= 0xd800 && r <= 0xdfff {
		return append(out, 0xed, 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f))
	}
	return utf8.AppendRune(out, r)
}

// simpleEscapes are those of one letter in the text form of a Python 2 string.
var simpleEscapes = map[byte]byte{'\\': '\\', '\'': '\'', '"': '"', 'n': '\n', 't': '\t', 'r': '\r'}

// quoted decodes the repr of a Python 2 string.
func (m *machine) quoted(line []byte) ByteString {
	if len(line) < 2 || line[0] != line[len(line)-1] || line[0] != '\'' && line[0] != '"' {
		m.fail("a string without quotes")
		return nil
	}
	line = line[1 : len(line)-1]
	out := make(ByteString, 0, len(line))
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			out = append(out, line[i])
			continue
		}
		if i++; i == len(line) {
			m.fail("a cut escape in a string")
			return nil
		}
		if b, ok := simpleEscapes[line[i]]; ok {
			out = append(out, b)
			continue
		}
		if line[i] != 'x' || i+2 >= len(line) {
			m.fail("an unknown escape in a string")
			return nil
		}
		n, err := strconv.ParseUint(string(line[i+1:i+3]), 16, 8)
		if err != nil {
			m.fail("a wrong escape in a string")
			return nil
		}
		out = append(out, byte(n))
		i += 2
	}
	return out
}
