package pickle

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
)

func (w *writer) bool(v bool) {
	switch {
	case w.style.proto >= 2 && v:
		w.op(opNewTrue)
	case w.style.proto >= 2:
		w.op(opNewFalse)
	case v:
		w.text("I01\n")
	default:
		w.text("I00\n")
	}
}

func (w *writer) int(v int64) {
	switch {
	case v >= 0 && v <= math.MaxUint8:
		w.op(opBinInt1, byte(v))
	case v >= 0 && v <= math.MaxUint16:
		w.op(opBinInt2)
		w.out = binary.LittleEndian.AppendUint16(w.out, uint16(v))
	case v >= math.MinInt32 && v <= math.MaxInt32:
		w.op(opBinInt)
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(v))
	default:
		w.long(big.NewInt(v))
	}
}

func (w *writer) long(v *big.Int) {
	if w.style.proto < 2 {
		w.op(opLong)
		w.text(v.String() + "L\n")
		return
	}
	b := twosComplement(v)
	if len(b) > maxLongLen {
		w.err = &TypeError{v}
		return
	}
	if len(b) <= math.MaxUint8 {
		w.op(opLong1, byte(len(b)))
	} else {
		w.op(opLong4)
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(len(b)))
	}
	w.op(b...)
}

// twosComplement returns the shortest form, little endian.
func twosComplement(v *big.Int) []byte {
	if v.Sign() == 0 {
		return nil
	}
	n := v.BitLen()/8 + 1
	if v.Sign() < 0 {
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	}
	b := v.FillBytes(make([]byte, n))
	slices.Reverse(b)
	if n > 1 && b[n-1] == 0xff && b[n-2] >= 0x80 {
		b = b[:n-1]
	}
	return b
}
