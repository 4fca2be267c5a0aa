package pickle

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"unicode/utf8"
)

// A Style is a way to write pickles, byte for byte that of a CPython pickler.
type Style struct {
	proto byte
	memo  bool
}

// The styles.
var (
	// Proto1Fast is Pickler(f, 1) with fast set, in Python 3: what a zc.zrs primary sends, and readable by Python 2
	// and 3 alike.
	Proto1Fast = Style{1, false}
	// Proto1 is dumps(value, 1): for what mentions itself, or one value too often to be written out each time.
	Proto1 = Style{1, true}
	// Proto3 is dumps(value, 3): what ZODB writes into files.
	Proto3 = Style{3, true}
	// Proto3Fast is Pickler(f, 3) with fast set: what ZEO sends.
	Proto3Fast = Style{3, false}
)

// batch is how many items Python puts into a container at a time.
const batch = 1000

// Dump pickles v. Errors are *TypeError and *LimitError.
func Dump(v Value, style Style, lim Limits) ([]byte, error) {
	return AppendDump(nil, v, style, lim)
}

// AppendDump appends the pickle of v to out.
func AppendDump(out []byte, v Value, style Style, lim Limits) ([]byte, error) {
	w := newWriter(out, style, lim)
	w.pickle(v)
	return w.out, w.err
}

// DumpRecord writes the record of a ZODB object, as LoadRecord reads it. Errors are those of Dump.
func DumpRecord(class, state Value, lim Limits) ([]byte, error) {
	w := newWriter(nil, Proto3, lim)
	w.pickle(class)
	w.pickle(state)
	return w.out, w.err
}

func newWriter(out []byte, style Style, lim Limits) *writer {
	lim = lim.withDefaults()
	return &writer{out: out, style: style, lim: lim, most: len(out) + lim.Bytes}
}

func (w *writer) pickle(v Value) {
	if w.style.proto >= 2 {
		w.op(opProto, w.style.proto)
	}
	w.value(v)
	w.op(opStop)
}

// A writer writes pickles that share a memo. The first error ends it.
type writer struct {
	out   []byte
	style Style
	lim   Limits
	most  int // that out may grow to
	depth int
	memo  map[any]int
	puts  int
	err   error
}

func (w *writer) op(b ...byte) { w.out = append(w.out, b...) }

func (w *writer) text(s string) { w.out = append(w.out, s...) }

// value writes v unless there is an error.
func (w *writer) value(v Value) {
	if len(w.out) > w.most {
		w.exceed("bytes", w.lim.Bytes)
	}
	if w.err != nil || w.recall(v) {
		return
	}
	if w.depth++; w.depth > w.lim.Nesting {
		w.exceed("nesting", w.lim.Nesting)
		return
	}
	defer func() { w.depth-- }()
	switch v := v.(type) {
	case nil:
		w.op(opNone)
	case bool:
		w.bool(v)
	case int64:
		w.int(v)
	case *big.Int:
		w.long(v)
	case float64:
		w.op(opBinFloat)
		w.out = binary.BigEndian.AppendUint64(w.out, math.Float64bits(v))
	case string:
		w.sized(opBinUnicode, []byte(v))
		if w.style.memo { // else remember is not worth the memory for its argument
			w.remember(v)
		}
	case Bytes:
		w.bytes(v)
	case ByteString:
		w.byteString(v)
	case Tuple:
		w.tuple(v)
	case *List:
		w.op(opEmptyList)
		w.remember(v)
		w.appends(v.Items)
	case *Dict:
		w.op(opEmptyDict)
		w.remember(v)
		w.setItems(v.Items)
	default:
		w.special(v)
	}
}

// special writes what only an application understands.
func (w *writer) special(v Value) {
	switch v := v.(type) {
	case Global:
		w.global(v)
	case Extension:
		w.op(opExt4)
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(v))
	case *Object:
		w.object(v)
	case Persistent:
		w.value(v.ID)
		w.op(opBinPersID)
	default:
		w.err = &TypeError{v}
	}
}

func (w *writer) exceed(what string, limit int) {
	if w.err == nil {
		w.err = &LimitError{what, limit}
	}
}

// sized writes an opcode, a length of four bytes, and b.
func (w *writer) sized(op byte, b []byte) {
	if uint64(len(b)) > math.MaxUint32 || len(b) > w.most-len(w.out) {
		w.exceed("bytes", w.lim.Bytes)
		return
	}
	w.op(op)
	w.out = binary.LittleEndian.AppendUint32(w.out, uint32(len(b)))
	w.op(b...)
}

func (w *writer) bytes(b Bytes) {
	switch {
	case w.style.proto < 3 && len(b) == 0:
		w.object(&Object{Make: MakeReduce, Class: globalBytes, Args: Tuple{}})
		return
	case w.style.proto < 3:
		text := make([]byte, 0, len(b)+len(b)/2)
		for _, c := range b {
			text = utf8.AppendRune(text, rune(c))
		}
		w.object(&Object{Make: MakeReduce, Class: globalEncode, Args: Tuple{string(text), "latin1"}})
		return
	case len(b) <= math.MaxUint8:
		w.op(opShortBytes, byte(len(b)))
		w.op(b...)
	default:
		w.sized(opBinBytes, b)
	}
	if w.style.memo { // as above
		w.remember(b)
	}
}

func (w *writer) byteString(b ByteString) {
	if w.style.proto < 3 &&
		!isASCII(b) { // Python 2 reads the same from the form for bytes, and Python 3 reads it at all
		w.bytes(Bytes(b))
		return
	}
	if len(b) <= math.MaxUint8 {
		w.op(opShortStr, byte(len(b)))
		w.op(b...)
	} else {
		w.sized(opBinString, b)
	}
	w.put()
}

func (w *writer) tuple(t Tuple) {
	if len(t) == 0 {
		w.op(opEmptyTuple)
		return
	}
	short := w.style.proto >= 2 && len(t) <= 3
	if !short {
		w.op(opMark)
	}
	for _, v := range t {
		w.value(v)
	}
	if short {
		w.op(byte(opTuple1 + len(t) - 1))
	} else {
		w.op(opTuple)
	}
	w.put()
}

func (w *writer) appends(items []Value) {
	if len(items) == 1 {
		w.value(items[0])
		w.op(opAppend)
		return
	}
	for part := range slices.Chunk(items, batch) {
		w.op(opMark)
		for _, v := range part {
			w.value(v)
		}
		w.op(opAppends)
	}
}

func (w *writer) setItems(items []Pair) {
	if len(items) == 1 {
		w.value(items[0].Key)
		w.value(items[0].Value)
		w.op(opSetItem)
		return
	}
	for part := range slices.Chunk(items, batch) {
		w.op(opMark)
		for _, p := range part {
			w.value(p.Key)
			w.value(p.Value)
		}
		w.op(opSetItems)
	}
}

func (w *writer) global(g Global) {
	if w.style.proto < 3 {
		g = g.classic()
	}
	w.op(opGlobal)
	w.text(g.Module + "\n" + g.Name + "\n")
	w.remember(g)
}

func (w *writer) object(o *Object) {
	w.making(o)
	w.remember(o)
	if len(o.Appended) > 0 {
		w.appends(o.Appended)
	}
	if len(o.Set) > 0 {
		w.setItems(o.Set)
	}
	if o.HasState {
		w.value(o.State)
		w.op(opBuild)
	}
}

func (w *writer) making(o *Object) {
	if o.Make == MakeInst {
		w.op(opMark)
		w.value(o.Class)
		args, ok := o.Args.(Tuple)
		if !ok {
			w.err = &TypeError{o}
		}
		for _, v := range args {
			w.value(v)
		}
		w.op(opObj)
		return
	}
	w.value(o.Class)
	w.value(o.Args)
	if o.Make == MakeNewEx {
		w.value(o.Keywords)
	}
	w.op(byte(o.Make))
}
