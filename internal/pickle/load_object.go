package pickle

import (
	"bytes"
	"unicode/utf8"
)

// object runs the opcodes of classes, objects and persistent references.
func (m *machine) object(op byte) bool {
	switch op {
	case opGlobal:
		module := m.line()
		m.global(module, m.line())
	case opStackGlobal:
		name, isText := m.pop().v.(string)
		module, moduleToo := m.pop().v.(string)
		if !isText || !moduleToo {
			m.fail("a class whose name is no text")
			return true
		}
		m.global([]byte(module), []byte(name))
	case opExt1:
		m.foreign(Extension(m.byte()), 0)
	case opExt2:
		m.foreign(Extension(m.uint16()), 0)
	case opExt4:
		m.foreign(Extension(m.uint32()), 0)
	case opReduce, opNewObj:
		args := m.pop()
		m.make(Object{Make: Making(op), Args: args.v}, m.pop(), args.depth)
	case opNewObjEx:
		keywords, args := m.pop(), m.pop()
		m.make(Object{Make: MakeNewEx, Args: args.v, Keywords: keywords.v}, m.pop(), max(keywords.depth, args.depth))
	case opInst:
		module := m.line()
		m.global(module, m.line())
		class := m.pop()
		m.instance(class, m.popMark())
	case opObj:
		if slots := m.popMark(); len(slots) > 0 {
			m.instance(slots[0], slots[1:])
		} else {
			m.fail("an object without a class")
		}
	case opBuild:
		m.build(m.pop())
	case opPersID:
		id := m.line()
		if !isASCII(id) {
			m.fail("a persistent id in a line that is not ASCII") // as Python 3 does
		}
		m.foreign(Persistent{string(id)}, 1)
	case opBinPersID:
		id := m.pop()
		m.foreign(Persistent{id.v}, id.depth+1)
	default:
		return false
	}
	return true
}

func (m *machine) global(module, name []byte) {
	if m.err == nil && (!utf8.Valid(module) || !utf8.Valid(name) || bytes.ContainsAny(module, "\r\n") ||
		bytes.ContainsAny(name, "\r\n")) {
		m.fail("a class whose name is no text")
	}
	g := Global{string(module), string(name)}
	if m.proto < 3 {
		g = g.modern()
	}
	if m.err == nil && m.lim.Global != nil && !m.lim.Global(g) {
		m.fail("%.100q is not a class that may come here", g.Module+"."+g.Name)
	}
	m.push(g, 0)
}

// foreign pushes what only an application understands.
func (m *machine) foreign(v Value, depth int) {
	if m.lim.Global != nil {
		m.fail("a %T may not come here", v)
	}
	m.push(v, depth)
}

func (m *machine) instance(class slot, args []slot) {
	v, depth := values(args)
	m.make(Object{Make: MakeInst, Args: Tuple(v)}, class, depth+1)
}

// make pushes an object, or what a call that is known results in.
func (m *machine) make(o Object, class slot, depth int) {
	o.Class = class.v
	if v, ok := known(&o); ok {
		m.push(v, 0)
		return
	}
	m.push(&o, max(class.depth, depth)+1)
}

// build gives the object on top its state.
func (m *machine) build(state slot) {
	switch o := m.container1(state.depth).(type) {
	case nil:
	case *Object:
		o.State, o.HasState = state.v, true
	default:
		m.fail("giving a state to a %T", o)
	}
}

// The classes of bytes.
var (
	globalEncode = Global{"_codecs", "encode"}
	globalBytes  = Global{"builtins", "bytes"}
	globalBinary = Global{"zodbpickle", "binary"}
)

// known returns what the two calls result in that stand for bytes in pickles of protocols below 3, and ZODB's own class
// of bytes for Python 2.
func known(o *Object) (Bytes, bool) {
	args, _ := o.Args.(Tuple)
	switch {
	case o.Class == globalEncode && len(args) == 2 && (args[1] == "latin1" || args[1] == "latin-1"):
		text, _ := args[0].(string)
		return latin1(text)
	case o.Class == globalBytes && len(args) == 0:
		return Bytes{}, o.Make == MakeReduce
	case o.Class == globalBinary && len(args) == 1:
		switch b := args[0].(type) {
		case Bytes:
			return b, true
		case ByteString:
			return Bytes(b), true
		}
	}
	return nil, false
}

// latin1 encodes text with one byte for each character.
func latin1(text string) (Bytes, bool) {
	b := make(Bytes, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return nil, false
		}
		b = append(b, byte(r))
	}
	return b, text != ""
}
