package references

import (
	"github.com/zrsd/zrsd/internal/zlibrecord"
	"github.com/zrsd/zrsd/zodb"
)

// Contents are the classes that a record mentions and the references that are in it.
type Contents struct {
	// Brief is set by who has them read, and wants to know which classes there are, and of what, but not each place:
	// there are no mentions of the kind Again then, but the first ones in their place, and nothing of a Target.
	Brief bool
	// Note is where who has them read may keep what it knows about Class. It is 0 at first, and the same for records
	// that begin with the same pickle. Nil: there is no such place.
	Note       *uint32
	Record     []byte    // as it is unpacked; all places are in it
	Class      int       // of the object, an index of Mentions; -1 where it is not named
	Mentions   []Mention // in the order of the record
	References []Reference
	Frames     []int // offsets of FRAME opcodes
	pairs      []pair
	multis     []multi
}

// A Span is a part of a record.
type Span struct{ At, Len uint32 }

// Of returns the part.
func (p Span) Of(record []byte) []byte { return record[p.At : p.At+p.Len] }

// A MentionKind says how a record names a class.
type MentionKind uint8

// The kinds.
const (
	Literal MentionKind = iota // GLOBAL or INST, with both names as lines
	Stack                      // STACK_GLOBAL, with both names on the stack
	Names                      // a tuple of both names
	Again                      // from the memo
)

// A Use says what a class is mentioned for.
type Use uint8

// The uses.
const (
	InState     Use = iota // a class of a value, or a class as a value; also that of a reference to another database
	InReference            // the class of a reference
	OfObject               // the class of the object itself
)

// A Mention is a class, or a function, that a record names at one place.
type Mention struct {
	Kind         MentionKind
	At, End      int // of the opcode, with its arguments: the one that makes the tuple, for Names
	Module, Name Span
	First        int // for Again: which mention entered the memo
	Use          Use
	Target       zodb.Oid // for InReference: of the object that is referred to
}

// A Reference is one from an object to another.
type Reference struct {
	Oid      zodb.Oid
	Class    int  // that the reference names, an index of Mentions; -1: none
	Database Span // the name of another database; Len 0: the same
	Weak     bool
}

// A pair is a tuple of two texts, which may be the names of a class.
type pair struct {
	first, second Span
	at, end       int
	mention       int32 // made of it; 0: none yet
}

// A multi is a tuple of a database, an oid and perhaps a class.
type multi struct {
	database Span
	oid      zodb.Oid
	class    int32
}

// multiBase tells the numbers of multis from those of mentions.
//
//	class of a value    0                 none
//	                    1 …               one more than the index in Mentions
//	                    multiBase …       multiBase more than the index in multis
//	                    -1 …              negative: one more than the index in pairs
const multiBase = 1 << 30

// Read returns what is in a record, which is valid until the next call. Records of zc.zlibstorage are read, too.
func (s *Scanner) Read(record []byte, into *Contents) error {
	record, err := zlibrecord.Unpack(record, unpackLimit)
	if err != nil {
		return &formatError{reason: err.Error()}
	}
	into.reset(record)
	s.begin(record)
	s.in = into
	s.class()
	s.pickle()
	s.data, s.found, s.in = nil, nil, nil
	return s.err
}

func (c *Contents) reset(record []byte) {
	c.Record, c.Class, c.Note = record, -1, nil
	c.Mentions, c.References, c.Frames = c.Mentions[:0], c.References[:0], c.Frames[:0]
	c.pairs, c.multis = c.pairs[:0], c.multis[:0]
}

// Names returns module and name of a mention.
func (c *Contents) Names(i int) (module, name []byte) {
	m := &c.Mentions[i]
	return m.Module.Of(c.Record), m.Name.Of(c.Record)
}

// mention adds one, to be filled where it is, and returns its number.
func (c *Contents) mention(kind MentionKind, at, end int) (*Mention, int32) {
	c.Mentions = append(c.Mentions, Mention{})
	m := &c.Mentions[len(c.Mentions)-1]
	m.Kind, m.At, m.End = kind, at, end
	return m, int32(len(c.Mentions))
}

// named adds a mention with both names.
func (c *Contents) named(kind MentionKind, at, end int, module, name Span) int32 {
	m, number := c.mention(kind, at, end)
	m.Module, m.Name = module, name
	return number
}

func (c *Contents) literal(at, end int, module, name []byte) int32 {
	return c.named(Literal, at, end, Span{uint32(at + 1), uint32(len(module))},
		Span{uint32(at + 2 + len(module)), uint32(len(name))})
}

// again is a class from the memo, which is a mention of its own: another class may be wanted there.
func (c *Contents) again(class int32, at, end int) int32 {
	if c.Brief || class <= 0 || class >= multiBase {
		return class
	}
	m, number := c.mention(Again, at, end)
	first := &c.Mentions[class-1]
	m.Module, m.Name, m.First = first.Module, first.Name, int(class-1)
	if first.Kind == Again {
		m.First = first.First
	}
	return number
}

// tuple returns the class of a tuple of these items.
func (c *Contents) tuple(items []value, at, end int) int32 {
	switch {
	case len(items) == 0 || len(items) > 3:
	case items[0].class != 0: // a class and its arguments
		return items[0].class
	case len(items) > 1 && items[0].text.Len > 0 && items[1].kind == oid:
		m := multi{database: items[0].text, oid: items[1].oid}
		if len(items) == 3 {
			m.class = items[2].class
		}
		c.multis = append(c.multis, m)
		return multiBase + int32(len(c.multis)) - 1
	case len(items) == 2 && items[1].class != 0: // an oid and a class
		return items[1].class
	case len(items) == 2 && items[0].text.Len > 0 && items[1].text.Len > 0:
		c.pairs = append(c.pairs, pair{first: items[0].text, second: items[1].text, at: at, end: end})
		return -int32(len(c.pairs))
	}
	return 0
}

// mentioned returns the index of the mention that a value's class is, -1 for none.
func (c *Contents) mentioned(class int32) int {
	if class < 0 {
		p := &c.pairs[-class-1]
		if p.mention == 0 {
			p.mention = c.named(Names, p.at, p.end, p.first, p.second)
		}
		class = p.mention
	}
	if class >= multiBase || class == 0 {
		return -1
	}
	return int(class - 1)
}

// refer takes note of a persistent id.
func (c *Contents) refer(id value) {
	r := Reference{Oid: id.oid, Class: -1}
	switch {
	case id.kind == list && (id.form == 'm' || id.form == 'n'):
		if id.class < multiBase {
			return
		}
		m := c.multis[id.class-multiBase]
		r.Oid, r.Database, r.Class = m.oid, m.database, c.mentioned(m.class)
	case id.kind == list:
		r.Weak = true
		if id.class < 0 && id.form == 'w' {
			r.Database = c.pairs[-id.class-1].second
		}
	case id.kind == tuple:
		if r.Class = c.mentioned(id.class); r.Class >= 0 && !c.Brief {
			m := &c.Mentions[r.Class]
			m.Use, m.Target = InReference, id.oid
		}
	}
	c.References = append(c.References, r)
}
