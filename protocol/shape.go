package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// maxDepth is how deep arrays and maps may nest in a message, the message itself included.
const maxDepth = 16

// checkShape walks over b and makes sure that it is exactly one msgpack value, nested no deeper than maxDepth, in
// which no length promises more than is there. A decoder that trusts lengths, or calls itself for every level, is safe
// afterwards.
func checkShape(b []byte) error {
	var open [maxDepth]int // values still to come, per level
	level := 0
	open[0] = 1
	for {
		for open[level] == 0 {
			if level == 0 {
				return checkEnd(b)
			}
			level--
		}
		open[level]--
		size, inside, err := valueSize(b)
		if err != nil {
			return err
		}
		b = b[size:]
		if inside == 0 {
			continue
		}
		if inside > len(b) {
			return fmt.Errorf("%d values announced, %d bytes left", inside, len(b))
		}
		if level++; level == maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
		open[level] = inside
	}
}

func checkEnd(rest []byte) error {
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes after the end", len(rest))
	}
	return nil
}

var errShort = errors.New("a value ends after the end of the message")

// valueSize returns the length of the first value in b, without what an array or a map has inside, and how many values
// that is.
func valueSize(b []byte) (size, inside int, err error) {
	if len(b) == 0 {
		return 0, 0, errShort
	}
	head, length, err := valueHead(b)
	if err != nil {
		return 0, 0, err
	}
	switch c := b[0]; {
	case msgpcode.IsFixedArray(c), c == msgpcode.Array16, c == msgpcode.Array32:
		inside, length = length, 0
	case msgpcode.IsFixedMap(c), c == msgpcode.Map16, c == msgpcode.Map32:
		inside, length = 2*length, 0
	}
	if length > len(b)-head {
		return 0, 0, errShort
	}
	return head + length, inside, nil
}

// valueHead returns the size of the type byte with its length field, and the length: bytes to follow, or elements.
func valueHead(b []byte) (head, length int, err error) {
	switch c := b[0]; {
	case msgpcode.IsFixedNum(c), c == msgpcode.Nil, c == msgpcode.False, c == msgpcode.True:
		return 1, 0, nil
	case msgpcode.IsFixedString(c):
		return 1, int(c & msgpcode.FixedStrMask), nil
	case msgpcode.IsFixedArray(c):
		return 1, int(c & msgpcode.FixedArrayMask), nil
	case msgpcode.IsFixedMap(c):
		return 1, int(c & msgpcode.FixedMapMask), nil
	}
	f, known := forms[b[0]]
	if !known {
		return 0, 0, fmt.Errorf("%#x begins no value", b[0])
	}
	if len(b) < 1+f.lengthLen {
		return 0, 0, errShort
	}
	switch f.lengthLen {
	case 1:
		length = int(b[1])
	case 2:
		length = int(binary.BigEndian.Uint16(b[1:]))
	case 4:
		length = int(binary.BigEndian.Uint32(b[1:]))
	}
	return 1 + f.lengthLen, length + f.extra, nil
}

// A form is what follows a type byte: a length field of so many bytes, then, besides what that announces, a fixed
// number.
type form struct{ lengthLen, extra int }

var forms = map[byte]form{
	msgpcode.Bin8: {1, 0}, msgpcode.Bin16: {2, 0}, msgpcode.Bin32: {4, 0},
	msgpcode.Str8: {1, 0}, msgpcode.Str16: {2, 0}, msgpcode.Str32: {4, 0},
	msgpcode.Ext8: {1, 1}, msgpcode.Ext16: {2, 1}, msgpcode.Ext32: {4, 1},
	msgpcode.FixExt1: {0, 2}, msgpcode.FixExt2: {0, 3}, msgpcode.FixExt4: {0, 5},
	msgpcode.FixExt8: {0, 9}, msgpcode.FixExt16: {0, 17},
	msgpcode.Float: {0, 4}, msgpcode.Double: {0, 8},
	msgpcode.Uint8: {0, 1}, msgpcode.Uint16: {0, 2}, msgpcode.Uint32: {0, 4}, msgpcode.Uint64: {0, 8},
	msgpcode.Int8: {0, 1}, msgpcode.Int16: {0, 2}, msgpcode.Int32: {0, 4}, msgpcode.Int64: {0, 8},
	msgpcode.Array16: {2, 0}, msgpcode.Array32: {4, 0},
	msgpcode.Map16: {2, 0}, msgpcode.Map32: {4, 0},
}
