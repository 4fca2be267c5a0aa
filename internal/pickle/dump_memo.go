package pickle

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// put gives the value that was just written a number in the memo.
func (w *writer) put() (n int) {
	if !w.style.memo || w.err != nil {
		return 0
	}
	n = w.puts
	w.puts++
	if n <= math.MaxUint8 {
		w.op(opBinPut, byte(n))
	} else {
		w.op(opLongPut)
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(n))
	}
	return n
}

// remember numbers the value that was just written so that it is recalled where it comes again.
func (w *writer) remember(v Value) {
	n := w.put()
	key := identity(v)
	if !w.style.memo || key == nil || w.err != nil {
		return
	}
	if w.memo == nil {
		w.memo = make(map[any]int)
	}
	w.memo[key] = n
}

// recall writes a reference to v if it was written before.
func (w *writer) recall(v Value) bool {
	if w.memo == nil {
		return false
	}
	key := identity(v)
	n, ok := w.memo[key]
	if key == nil || !ok {
		return false
	}
	if n <= math.MaxUint8 {
		w.op(opBinGet, byte(n))
	} else {
		w.op(opLongGet)
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(n))
	}
	return true
}

// A single is a value of which a Python that has read it has only one: the empty ones, and text of one character below
// 256.
type single struct {
	bytes bool
	s     string
}

// identity identifies a value as one object in Python; nil: two equal values count as two objects.
func identity(v Value) any {
	switch v := v.(type) {
	case *List, *Dict, *Object, Global:
		return v
	case string:
		if r, n := utf8.DecodeRuneInString(v); v == "" || n == len(v) && r <= 0xff {
			return single{false, v}
		}
	case Bytes:
		if len(v) == 0 {
			return single{true, ""}
		}
	}
	return nil
}
