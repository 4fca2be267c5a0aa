package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/zrsd/zrsd/zodb"
)

// A Load is the call loadBefore, of which servers get more than of all others together. Its id is the pair of its
// arguments, so that all such calls have one form in each encoding: they are recognised, and answered, without
// decoding.
type Load struct {
	Oid    zodb.Oid
	Before zodb.Tid
}

// A Loaded is the answer to a Load that has found a revision.
type Loaded struct {
	Data      []byte
	Tid, Next zodb.Tid // Next is 0 for the current revision
}

// MaxLoad is the length of the longest Load, without its size.
const MaxLoad = 64

// hole stands for an id of 8 bytes in a form.
const hole = "????????"

// A form is a message with four holes: oid and tid as the id, and as the arguments.
type form struct {
	bytes string
	holes [4]int
}

func newForm(parts ...string) form {
	f := form{bytes: strings.Join(parts, hole)}
	at := 0
	for i := range f.holes {
		at += len(parts[i])
		f.holes[i] = at
		at += len(hole)
	}
	return f
}

// match reads a message of this form.
func (f *form) match(body []byte) (l Load, ok bool) {
	if len(body) != len(f.bytes) {
		return l, false
	}
	oid, tid := body[f.holes[0]:][:8], body[f.holes[1]:][:8]
	var like [MaxLoad]byte
	want := like[:copy(like[:], f.bytes)]
	for i, at := range f.holes {
		copy(want[at:], [2][]byte{oid, tid}[i%2])
	}
	l = Load{zodb.Oid(binary.BigEndian.Uint64(oid)), zodb.Tid(binary.BigEndian.Uint64(tid))}
	return l, bytes.Equal(body, want)
}

var (
	pickledLoad = newForm("\x80\x03(C\x08", "C\x08", "\x86\x89X\x0a\x00\x00\x00loadBeforeC\x08", "C\x08", "\x86t.")
	packedLoad  = newForm("\x94\x92\xc4\x08", "\xc4\x08", "\xc2\xaaloadBefore\x92\xc4\x08", "\xc4\x08", "")
)

func (pickled) Load(body []byte) (Load, bool) { return pickledLoad.match(body) }
func (packed) Load(body []byte) (Load, bool)  { return packedLoad.match(body) }

func appendID[T zodb.Oid | zodb.Tid](out []byte, mark string, id T) []byte {
	return binary.BigEndian.AppendUint64(append(out, mark...), uint64(id))
}

// AppendLoaded is Append of the reply, made of its parts.
func (pickled) AppendLoaded(out []byte, l Load, r Loaded) []byte {
	const id = "C\x08"
	at := len(out)
	out = appendID(append(out, 0, 0, 0, 0), "\x80\x03("+id, l.Oid)
	out = append(appendID(out, id, l.Before), "\x86K\x00X\x06\x00\x00\x00.reply"...)
	if n := len(r.Data); n <= math.MaxUint8 {
		out = append(out, 'C', byte(n))
	} else {
		out = binary.LittleEndian.AppendUint32(append(out, 'B'), uint32(n))
	}
	out = appendID(append(out, r.Data...), id, r.Tid)
	if r.Next == 0 {
		out = append(out, 'N')
	} else {
		out = appendID(out, id, r.Next)
	}
	return resize(append(out, "\x87t."...), at)
}

// AppendLoaded is Append of the reply, made of its parts.
func (packed) AppendLoaded(out []byte, l Load, r Loaded) []byte {
	const id = "\xc4\x08"
	at := len(out)
	out = appendID(append(out, 0, 0, 0, 0), "\x94\x92"+id, l.Oid)
	out = append(appendID(out, id, l.Before), "\x00\xa6.reply\x93"...)
	switch n := len(r.Data); {
	case n <= math.MaxUint8:
		out = append(out, msgpcode.Bin8, byte(n))
	case n <= math.MaxUint16:
		out = binary.BigEndian.AppendUint16(append(out, msgpcode.Bin16), uint16(n))
	default:
		out = binary.BigEndian.AppendUint32(append(out, msgpcode.Bin32), uint32(n))
	}
	out = appendID(append(out, r.Data...), id, r.Tid)
	if r.Next == 0 {
		out = append(out, msgpcode.Nil)
	} else {
		out = appendID(out, id, r.Next)
	}
	return resize(out, at)
}

// resize puts the size of the message that begins at before it.
func resize(out []byte, at int) []byte {
	binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-SizeLen))
	return out
}

// append appends a message of this form with its size.
func (f *form) append(out []byte, l Load) []byte {
	at := len(out)
	out = append(append(out, 0, 0, 0, 0), f.bytes...)
	body := out[at+SizeLen:]
	for i, hole := range f.holes {
		binary.BigEndian.PutUint64(body[hole:], [2]uint64{uint64(l.Oid), uint64(l.Before)}[i%2])
	}
	return resize(out, at)
}

func (pickled) AppendLoad(out []byte, l Load) []byte { return pickledLoad.append(out, l) }
func (packed) AppendLoad(out []byte, l Load) []byte  { return packedLoad.append(out, l) }

// A cursor reads a message whose form is known. What is not of that form makes it bad.
type cursor struct {
	b   []byte // what is left
	bad bool
}

// skip goes past s.
func (c *cursor) skip(s string) {
	if len(c.b) < len(s) || string(c.b[:len(s)]) != s {
		c.bad = true
		return
	}
	c.b = c.b[len(s):]
}

// take returns the next n bytes.
func (c *cursor) take(n uint64) (b []byte) {
	if c.bad = c.bad || n > uint64(len(c.b)); c.bad {
		return nil
	}
	b, c.b = c.b[:n:n], c.b[n:]
	return b
}

// id reads an oid or a tid after its mark.
func (c *cursor) id(mark string) uint64 {
	c.skip(mark)
	if b := c.take(8); !c.bad {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// code returns the next byte.
func (c *cursor) code() byte {
	if b := c.take(1); !c.bad {
		return b[0]
	}
	return 0
}

// next reads the tid of the revision that came after, 0 for none.
func (c *cursor) next(none byte, mark string) zodb.Tid {
	if !c.bad && len(c.b) > 0 && c.b[0] == none {
		c.b = c.b[1:]
		return 0
	}
	return zodb.Tid(c.id(mark))
}

// ended reports whether the message was of its form, and nothing comes after it.
func (c *cursor) ended() bool { return !c.bad && len(c.b) == 0 }

func (pickled) Loaded(body []byte) (l Load, r Loaded, ok bool) {
	const mark = "C\x08"
	c := cursor{b: body}
	l.Oid = zodb.Oid(c.id("\x80\x03(" + mark))
	l.Before = zodb.Tid(c.id(mark))
	c.skip("\x86K\x00X\x06\x00\x00\x00.reply")
	switch c.code() {
	case 'C':
		r.Data = c.take(uint64(c.code()))
	case 'B':
		if size := c.take(4); !c.bad {
			r.Data = c.take(uint64(binary.LittleEndian.Uint32(size)))
		}
	default:
		c.bad = true
	}
	r.Tid = zodb.Tid(c.id(mark))
	r.Next = c.next('N', mark)
	c.skip("\x87t.")
	return l, r, c.ended()
}

func (packed) Loaded(body []byte) (l Load, r Loaded, ok bool) {
	const mark = "\xc4\x08"
	c := cursor{b: body}
	l.Oid = zodb.Oid(c.id("\x94\x92" + mark))
	l.Before = zodb.Tid(c.id(mark))
	c.skip("\x00\xa6.reply\x93")
	var size uint64
	switch c.code() {
	case msgpcode.Bin8:
		size = uint64(c.code())
	case msgpcode.Bin16:
		if b := c.take(2); !c.bad {
			size = uint64(binary.BigEndian.Uint16(b))
		}
	case msgpcode.Bin32:
		if b := c.take(4); !c.bad {
			size = uint64(binary.BigEndian.Uint32(b))
		}
	default:
		c.bad = true
	}
	r.Data = c.take(size)
	r.Tid = zodb.Tid(c.id(mark))
	r.Next = c.next(msgpcode.Nil, mark)
	return l, r, c.ended()
}

// InvalidationMethod is the call by which servers announce the commits of others.
const InvalidationMethod = "invalidateTransaction"

func (pickled) Called(body []byte) ([]byte, bool) {
	c := cursor{b: body}
	c.skip("\x80\x03(K\x00\x88X")
	size := c.take(4)
	if c.bad {
		return nil, false
	}
	method := c.take(uint64(binary.LittleEndian.Uint32(size)))
	return method, !c.bad
}

func (packed) Called(body []byte) ([]byte, bool) {
	c := cursor{b: body}
	c.skip("\x94\x00\xc3")
	size := c.code()
	method := c.take(uint64(size & msgpcode.FixedStrMask))
	return method, !c.bad && msgpcode.IsFixedString(size)
}
