package wire

import (
	"encoding/binary"
	"math"
	"math/big"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/zrsd/zrsd/internal/pickle"
)

// Append writes numbers and lengths in the shortest form that there is for them, as Python's msgpack does. It is
// written out here, since msgpack.Encoder allocates for each byte that it writes.
func (packed) Append(out []byte, m *Message) ([]byte, error) {
	return appendSized(out, func(out []byte) ([]byte, error) {
		p := packer{out: append(out, msgpcode.FixedArrayLow|4)}
		p.value(m.ID, 1)
		p.value(m.flag(), 1)
		p.text(m.Method)
		p.value(m.Args, 1)
		return p.out, p.err
	})
}

// A packer writes one message. The first error ends it.
type packer struct {
	out []byte
	err error
}

func (p *packer) value(v pickle.Value, depth int) {
	if p.err != nil {
		return
	}
	if depth > limits.Nesting {
		p.err = &pickle.LimitError{What: "nesting", Max: limits.Nesting}
		return
	}
	switch v := v.(type) {
	case nil:
		p.code(msgpcode.Nil)
	case bool:
		p.bool(v)
	case int64:
		p.int(v)
	case *big.Int:
		p.big(v)
	case float64:
		p.out = binary.BigEndian.AppendUint64(append(p.out, msgpcode.Double), math.Float64bits(v))
	case string:
		p.text(v)
	case pickle.Bytes:
		p.bytes(v)
	case pickle.ByteString:
		p.bytes(v)
	case pickle.Tuple:
		p.items(v, depth)
	case *pickle.List:
		p.items(v.Items, depth)
	case *pickle.Dict:
		p.dict(v, depth)
	default:
		p.err = &pickle.TypeError{Value: v}
	}
}

func (p *packer) code(c byte) { p.out = append(p.out, c) }

func (p *packer) bool(b bool) {
	if b {
		p.code(msgpcode.True)
	} else {
		p.code(msgpcode.False)
	}
}

func (p *packer) int(n int64) {
	switch {
	case n >= 0:
		p.uint(uint64(n))
	case n >= -32:
		p.code(byte(n))
	case n >= math.MinInt8:
		p.out = append(p.out, msgpcode.Int8, byte(n))
	case n >= math.MinInt16:
		p.out = binary.BigEndian.AppendUint16(append(p.out, msgpcode.Int16), uint16(n))
	case n >= math.MinInt32:
		p.out = binary.BigEndian.AppendUint32(append(p.out, msgpcode.Int32), uint32(n))
	default:
		p.out = binary.BigEndian.AppendUint64(append(p.out, msgpcode.Int64), uint64(n))
	}
}

func (p *packer) uint(n uint64) {
	switch {
	case n <= math.MaxInt8:
		p.code(byte(n))
	case n <= math.MaxUint8:
		p.out = append(p.out, msgpcode.Uint8, byte(n))
	case n <= math.MaxUint16:
		p.out = binary.BigEndian.AppendUint16(append(p.out, msgpcode.Uint16), uint16(n))
	case n <= math.MaxUint32:
		p.out = binary.BigEndian.AppendUint32(append(p.out, msgpcode.Uint32), uint32(n))
	default:
		p.out = binary.BigEndian.AppendUint64(append(p.out, msgpcode.Uint64), n)
	}
}

func (p *packer) big(v *big.Int) {
	if !v.IsUint64() {
		p.err = &pickle.TypeError{Value: v}
		return
	}
	p.uint(v.Uint64())
}

// A sizes is the codes of one kind of value by how long its length is. A code that the kind does not have is 0.
type sizes struct {
	fixed     byte // with the length in it
	fixedMax  int
	one       byte
	two, four byte
}

var (
	textSizes  = sizes{msgpcode.FixedStrLow, 31, msgpcode.Str8, msgpcode.Str16, msgpcode.Str32}
	bytesSizes = sizes{0, -1, msgpcode.Bin8, msgpcode.Bin16, msgpcode.Bin32}
	arraySizes = sizes{msgpcode.FixedArrayLow, 15, 0, msgpcode.Array16, msgpcode.Array32}
	mapSizes   = sizes{msgpcode.FixedMapLow, 15, 0, msgpcode.Map16, msgpcode.Map32}
)

// size writes the length of a value.
func (p *packer) size(n int, of *sizes) {
	switch {
	case n <= of.fixedMax:
		p.code(of.fixed | byte(n))
	case of.one != 0 && n <= math.MaxUint8:
		p.out = append(p.out, of.one, byte(n))
	case n <= math.MaxUint16:
		p.out = binary.BigEndian.AppendUint16(append(p.out, of.two), uint16(n))
	case n <= math.MaxUint32:
		p.out = binary.BigEndian.AppendUint32(append(p.out, of.four), uint32(n))
	default:
		p.err = &SizeError{int64(n), math.MaxUint32}
	}
}

func (p *packer) text(s string) {
	if p.size(len(s), &textSizes); p.err == nil {
		p.out = append(p.out, s...)
	}
}

func (p *packer) bytes(b []byte) {
	if p.size(len(b), &bytesSizes); p.err == nil {
		p.out = append(p.out, b...)
	}
}

func (p *packer) items(items []pickle.Value, depth int) {
	p.size(len(items), &arraySizes)
	for _, v := range items {
		p.value(v, depth+1)
	}
}

func (p *packer) dict(d *pickle.Dict, depth int) {
	p.size(len(d.Items), &mapSizes)
	for _, pair := range d.Items {
		p.value(pair.Key, depth+1)
		p.value(pair.Value, depth+1)
	}
}
