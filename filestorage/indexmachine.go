package filestorage

import (
	"io"
	"unicode/utf8"
)

// The opcodes that occur only in the old formats.
const (
	opUnicode    = 'X'
	opGlobal     = 'c'
	opReduce     = 'R'
	opBuild      = 'b'
	opNewObj     = 0x81
	opEmptyDict  = '}'
	opDict       = 'd'
	opSetItem    = 's'
	opSetItems   = 'u'
	opEmptyList  = ']'
	opList       = 'l'
	opAppend     = 'a'
	opAppends    = 'e'
	opEmptyTuple = ')'
	opTuple1     = 0x85
	opTuple3     = 0x87
	opGet        = 'g'
	opBinGet     = 'h'
	opLongBinGet = 'j'
)

// What a pickle is made into, besides nil and int64. Callables are only ever names: those in the table below have a
// fixed meaning, all others make the file unusable.
type (
	pyBytes string
	pyText  string
	pyTuple []any
	pyList  struct{ items []any }
	pyDict  struct{ items []any } // key, value, key, value, …
	pyClass string
	pyMark  struct{}
)

// A pyObject is an instance of one of the known classes, not yet understood.
type pyObject struct {
	class pyClass
	state any
}

const (
	classIndex   pyClass = "ZODB.fsIndex fsIndex"
	classTree    pyClass = "BTrees.OOBTree OOBTree"
	classLeaf    pyClass = "BTrees.OOBTree OOBucket"
	classBucket  pyClass = "BTrees.fsBTree fsBucket"
	classObject  pyClass = "object"
	callNew      pyClass = "__newobj__"
	callRebuild  pyClass = "_reconstructor"
	callEncoding pyClass = "_codecs encode"
)

// knownNames are the globals that may occur, under each name that they had.
var knownNames = map[string]pyClass{
	"ZODB.fsIndex fsIndex":    classIndex,
	"BTrees.OOBTree OOBTree":  classTree,
	"BTrees.OOBTree OOBucket": classLeaf,
	"BTrees.fsBTree fsBucket": classBucket,
	"__builtin__ object":      classObject,
	"builtins object":         classObject,
	"copy_reg __newobj__":     callNew,
	"copyreg __newobj__":      callNew,
	"copy_reg _reconstructor": callRebuild,
	"copyreg _reconstructor":  callRebuild,
	"_codecs encode":          callEncoding,
}

// maxOldValues bounds what a pickle is made into: about 40 MB.
const maxOldValues = 500_000

// A pickleMachine makes one pickle of an old index file into values.
type pickleMachine struct {
	*pickleReader
	stack []any
	memo  map[uint64]any
	made  int
}

// readPickle returns what the first pickle in the file holds.
func readPickle(file *io.SectionReader) (any, error) {
	m := pickleMachine{pickleReader: newPickleReader(file), memo: map[uint64]any{}}
	for op := m.byte(); op != opStop && m.err == nil; op = m.byte() {
		m.step(op)
	}
	v := m.pop()
	return v, m.err
}

func (m *pickleMachine) push(v any) {
	if m.made++; m.made > maxOldValues {
		m.fail("more than %d values", maxOldValues)
	}
	if m.err == nil {
		m.stack = append(m.stack, v)
	}
}

func (m *pickleMachine) pop() any {
	if m.err != nil || len(m.stack) == 0 {
		m.fail("a value is missing")
		return nil
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v
}

func (m *pickleMachine) top() any {
	if len(m.stack) == 0 {
		m.fail("a value is missing")
		return nil
	}
	return m.stack[len(m.stack)-1]
}

// popN returns the uppermost n values, in the order in which they were pushed.
func (m *pickleMachine) popN(n int) []any {
	if n > len(m.stack) {
		m.fail("a value is missing")
		return make([]any, n)
	}
	at := len(m.stack) - n
	values := append([]any(nil), m.stack[at:]...)
	m.stack = m.stack[:at]
	return values
}

// popMark returns the values above the uppermost mark and removes the mark.
func (m *pickleMachine) popMark() []any {
	for n := range m.stack {
		if m.stack[len(m.stack)-1-n] == any(pyMark{}) {
			values := m.popN(n)
			m.pop()
			return values
		}
	}
	m.fail("a mark is missing")
	return nil
}

func (m *pickleMachine) step(op byte) {
	switch op {
	case opProto:
		if v := m.byte(); v > 3 {
			m.fail("pickle protocol %d", v)
		}
	case opMark:
		m.push(pyMark{})
	case opNone:
		m.push(nil)
	case opInt, opInt1, opInt2, opInt4, opLong, opLong1:
		m.push(m.int(op))
	case opShortBytes, opShortStr, opBytes, opStr:
		m.push(pyBytes(m.bytes(op, maxOldIndex, nil)))
	case opUnicode:
		m.push(pyText(m.take(m.uint(4), maxOldIndex, nil)))
	case opPut, opBinPut, opLongBinPut:
		m.memo[m.memoKey(op)] = m.top()
	case opGet, opBinGet, opLongBinGet:
		v, ok := m.memo[m.memoKey(op)]
		if !ok {
			m.fail("a reference to nothing")
		}
		m.push(v)
	case opGlobal, opReduce, opNewObj, opBuild:
		m.object(op)
	default:
		m.container(op)
	}
}

func (m *pickleMachine) memoKey(op byte) uint64 {
	switch op {
	case opPut, opGet:
		return uint64(m.int(opInt))
	case opBinPut, opBinGet:
		return m.uint(1)
	}
	return m.uint(4)
}

func (m *pickleMachine) container(op byte) {
	switch op {
	case opEmptyTuple:
		m.push(pyTuple(nil))
	case opTuple1, opTuple2, opTuple3:
		m.push(pyTuple(m.popN(int(op-opTuple1) + 1)))
	case opTuple:
		m.push(pyTuple(m.popMark()))
	case opEmptyList:
		m.push(&pyList{})
	case opList:
		m.push(&pyList{m.popMark()})
	case opAppend:
		m.extend(m.popN(1))
	case opAppends:
		m.extend(m.popMark())
	case opEmptyDict:
		m.push(&pyDict{})
	case opDict:
		m.push(&pyDict{m.popMark()})
	case opSetItem:
		m.update(m.popN(2))
	case opSetItems:
		m.update(m.popMark())
	default:
		m.fail("opcode %#x", op)
	}
}

func (m *pickleMachine) extend(items []any) {
	list, ok := m.top().(*pyList)
	if !ok {
		m.fail("items for something that is no list")
		return
	}
	list.items = append(list.items, items...)
}

func (m *pickleMachine) update(items []any) {
	dict, ok := m.top().(*pyDict)
	if !ok {
		m.fail("items for something that is no dictionary")
		return
	}
	dict.items = append(dict.items, items...)
}

func (m *pickleMachine) object(op byte) {
	switch op {
	case opGlobal:
		name := m.line() + " " + m.line()
		class, ok := knownNames[name]
		if !ok {
			m.fail("it names %q", name)
		}
		m.push(class)
	case opReduce, opNewObj:
		args, ok := m.pop().(pyTuple)
		class, isClass := m.pop().(pyClass)
		if !ok || !isClass {
			m.fail("a call of something that is no class")
			return
		}
		m.push(m.call(class, args))
	case opBuild:
		state := m.pop()
		o, ok := m.top().(*pyObject)
		if !ok {
			m.fail("a state for something that is no object")
			return
		}
		o.state = state
	}
}

// call gives the few calls that occur their meaning.
func (m *pickleMachine) call(class pyClass, args pyTuple) any {
	switch class {
	case callEncoding:
		if len(args) == 2 && args[1] == any(pyText("latin1")) {
			if text, ok := args[0].(pyText); ok {
				return m.latin1(text)
			}
		}
	case callNew, callRebuild:
		if len(args) > 0 {
			if of, ok := args[0].(pyClass); ok {
				return &pyObject{class: of}
			}
		}
	case classIndex, classTree, classLeaf, classBucket:
		return &pyObject{class: class}
	}
	m.fail("a call of %q", class)
	return nil
}

// latin1 turns the text that stands for a byte string in protocols below 3 back into it.
func (m *pickleMachine) latin1(text pyText) pyBytes {
	b := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r > 0xff || r == utf8.RuneError {
			m.fail("bytes above 255")
			break
		}
		b = append(b, byte(r))
	}
	return pyBytes(b)
}
