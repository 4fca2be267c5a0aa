package inside

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/internal/zlibrecord"
)

// A Class is named by its module and its name there.
type Class struct{ Module, Name string }

// String is module.name.
func (c Class) String() string { return c.Module + "." + c.Name }

// A wish says which class is wanted at a mention of an object's record; the same one where nothing is to change.
type wish func(m *references.Mention, is Class) Class

// A rewriter changes classes in records.
type rewriter struct {
	scanner  references.Scanner
	contents references.Contents
	patches  []patch
}

// A patch replaces a part of a record.
type patch struct {
	from, to int
	by       []byte
}

// rewrite returns a record with other classes, changed false where none is to change. What comes out is read again: a
// record that does not say what was wanted is an error.
func (w *rewriter) rewrite(record []byte, want wish) (out []byte, changed bool, err error) {
	if err := w.scanner.Read(record, &w.contents); err != nil {
		return nil, false, err
	}
	wanted := w.plan(want)
	if len(w.patches) == 0 {
		return record, false, nil
	}
	out, err = w.apply()
	if err != nil {
		return nil, false, err
	}
	if err := w.prove(out, wanted); err != nil {
		return nil, false, err
	}
	if zlibrecord.Is(record) {
		out = zlibrecord.Pack(out)
	}
	return out, true, nil
}

// plan decides about each mention. A class from the memo stays so where the memo has what is wanted.
func (w *rewriter) plan(want wish) (wanted []Class) {
	c := &w.contents
	w.patches = w.patches[:0]
	for i := range c.Mentions {
		m := &c.Mentions[i]
		is := classOf(c, i)
		wanted = append(wanted, want(m, is))
		has := is
		if m.Kind == references.Again {
			has = wanted[m.First]
		}
		if wanted[i] != has {
			w.patches = append(w.patches, w.patchOf(m, wanted[i]))
		}
	}
	return wanted
}

func classOf(c *references.Contents, i int) Class {
	module, name := c.Names(i)
	return Class{string(module), string(name)}
}

// patchOf replaces the opcode of a mention.
func (w *rewriter) patchOf(m *references.Mention, to Class) patch {
	record := w.contents.Record
	p := patch{from: m.At, to: m.End}
	op := record[m.At]
	switch m.Kind {
	case references.Literal: // GLOBAL, INST
		p.by = lines(op, to)
	case references.Again:
		p.by = lines('c', to)
	case references.Stack, references.Names:
		p.by = namesAgain(record, m, op, to)
	}
	return p
}

func lines(op byte, c Class) []byte {
	return append([]byte{op}, c.Module+"\n"+c.Name+"\n"...)
}

// namesAgain drops the two names that are on the stack, or what is above the mark, and pushes others before the opcode.
// The old ones stay in the memo, from where other values may take them.
func namesAgain(record []byte, m *references.Mention, op byte, c Class) []byte {
	var b []byte
	if op == 't' { // TUPLE: POP_MARK, MARK
		b = append(b, '1', '(')
	} else { // TUPLE2, STACK_GLOBAL: POP, POP
		b = append(b, '0', '0')
	}
	for i, name := range []string{c.Module, c.Name} {
		b = appendName(b, pushedBy(record, []references.Span{m.Module, m.Name}[i]), name)
	}
	return append(b, op)
}

// pushedBy returns the opcode that has pushed a text: before its length, of one, four or eight bytes.
func pushedBy(record []byte, s references.Span) byte {
	at := int(s.At)
	for _, c := range []struct {
		back int
		ops  string
	}{{2, "U\x8cC"}, {5, "TXB"}, {9, "\x8d\x8e"}} {
		if at >= c.back && bytes.IndexByte([]byte(c.ops), record[at-c.back]) >= 0 {
			return record[at-c.back]
		}
	}
	return 'X'
}

// appendName pushes a text as the one that it replaces was: as str of Python 2, or as text.
func appendName(b []byte, like byte, name string) []byte {
	switch {
	case (like == 'U' || like == 'T') && len(name) < 256:
		b = append(b, 'U', byte(len(name)))
	case like == 0x8c && len(name) < 256:
		b = append(b, 0x8c, byte(len(name)))
	default:
		b = binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(name)))
	}
	return append(b, name...)
}

// apply makes the new record, with the lengths of frames.
func (w *rewriter) apply() ([]byte, error) {
	record := w.contents.Record
	slices.SortFunc(w.patches, func(a, b patch) int { return a.from - b.from })
	for _, at := range w.contents.Frames {
		const head = 9 // opcode and length
		length := int64(binary.LittleEndian.Uint64(record[at+1:]))
		begin, end := int64(at+head), int64(at+head)+length
		for _, p := range w.patches {
			if int64(p.from) >= begin && int64(p.from) < end {
				length += int64(len(p.by) - (p.to - p.from))
			}
		}
		if end < begin || end > int64(len(record)) {
			return nil, fmt.Errorf("byte %d of the record: a frame of %d bytes ends after it", at, end-begin)
		}
		by := binary.LittleEndian.AppendUint64(nil, uint64(length))
		w.patches = append(w.patches, patch{at + 1, at + head, by})
	}
	slices.SortFunc(w.patches, func(a, b patch) int { return a.from - b.from })
	var out []byte
	at := 0
	for _, p := range w.patches {
		if p.from < at {
			return nil, fmt.Errorf("byte %d of the record: two changes of the same opcode", p.from)
		}
		out = append(append(out, record[at:p.from]...), p.by...)
		at = p.to
	}
	return append(out, record[at:]...), nil
}

// prove reads a new record, and compares what it says with what was wanted and with the old one.
func (w *rewriter) prove(out []byte, wanted []Class) error {
	var scanner references.Scanner
	var now references.Contents
	if err := scanner.Read(out, &now); err != nil {
		return fmt.Errorf("the rewritten record cannot be read: %w", err)
	}
	was := &w.contents
	same := len(now.References) == len(was.References) && mentionedAs(was.Class, wanted) == ownClass(&now)
	for i := 0; same && i < len(now.References); i++ {
		a, b := &was.References[i], &now.References[i]
		same = a.Oid == b.Oid && a.Weak == b.Weak &&
			bytes.Equal(a.Database.Of(was.Record), b.Database.Of(now.Record)) && (b.Class < 0) == (a.Class < 0)
		if same && b.Class >= 0 {
			same = classOf(&now, b.Class) == wanted[a.Class]
		}
	}
	if !same {
		return errNotProved
	}
	return nil
}

func mentionedAs(mention int, wanted []Class) Class {
	if mention < 0 {
		return Class{}
	}
	return wanted[mention]
}

func ownClass(c *references.Contents) Class {
	if c.Class < 0 {
		return Class{}
	}
	return classOf(c, c.Class)
}

var errNotProved = errors.New("the rewritten record would not say what was wanted: it is left as it is; " +
	"please report this")
