package references

import (
	"bytes"
	"encoding/binary"
)

// A classPart is the first pickle of a record, that of the class, and what is known at its end. Thousands of records
// begin with the same one: it is executed once, and for the others it is enough that they have the same bytes.
type classPart struct {
	how      how
	pickle   []byte
	memo     []value
	class    int
	mentions []Mention
	pairs    []pair
	frames   []int
	note     uint32
}

// how a record is read makes a difference for what is in the memo.
type how uint8

const (
	scanned how = iota // for oids only
	whole              // into Contents
	brief              // into Contents that are Brief
)

// Bounds of what is kept of class parts. There are less than 400 KiB of them for each scanner.
const (
	partSets     = 64
	partWays     = 4   // parts in each set
	longestPart  = 256 // bytes of the pickle
	partMentions = 8
	partMemo     = 32
	keyBytes     = 8 // on each side of the first newline
)

// classParts are those seen last.
type classParts struct {
	sets   [partSets][partWays]*classPart
	last   *classPart
	victim uint8
}

// set returns the number of the set for the part that a record begins with. It is made of where the name of the module
// ends, and of the characters around that place. ok is false for a record that has none.
func (c *classParts) set(record []byte) (set uint64, ok bool) {
	const factor = 0x9e3779b97f4a7c15
	at := bytes.IndexByte(record[:min(len(record), longestPart)], '\n')
	if at < keyBytes || at+keyBytes >= len(record) {
		return 0, false
	}
	key := binary.LittleEndian.Uint64(record[at-keyBytes:])*factor ^ binary.LittleEndian.Uint64(record[at+1:])
	return (key + uint64(at)) * factor >> 58 % partSets, true
}

// is reports whether a record that is read in this way begins with the part.
func (p *classPart) is(record []byte, how how) bool {
	return p != nil && p.how == how && bytes.HasPrefix(record, p.pickle)
}

// find returns the part that a record begins with; nil where it is not known.
func (c *classParts) find(record []byte, how how) *classPart {
	if c.last.is(record, how) {
		return c.last
	}
	set, ok := c.set(record)
	if !ok {
		return nil
	}
	for _, p := range c.sets[set] {
		if p.is(record, how) {
			c.last = p
			return p
		}
	}
	return nil
}

// room returns a part to be filled, for what a record begins with; nil where it cannot be found again.
func (c *classParts) room(record []byte) *classPart {
	set, ok := c.set(record)
	if !ok {
		return nil
	}
	ways := &c.sets[set]
	for i, p := range ways {
		if p == nil {
			ways[i] = new(classPart)
			return ways[i]
		}
	}
	c.victim++
	return ways[c.victim%partWays]
}

// how the record is read.
func (s *Scanner) how() how {
	switch {
	case s.in == nil:
		return scanned
	case s.in.Brief:
		return brief
	}
	return whole
}

// class runs the pickle of the class.
func (s *Scanner) class() {
	if s.slow {
		s.classByItself()
		return
	}
	how := s.how()
	if p := s.parts.find(s.data, how); p != nil {
		s.resume(p)
		return
	}
	s.classByItself()
	s.remember(how)
}

func (s *Scanner) classByItself() {
	object := s.pickle()
	if s.in == nil {
		return
	}
	s.in.Class = s.in.mentioned(object.class)
	if s.in.Class >= 0 {
		s.in.Mentions[s.in.Class].Use = OfObject
	}
}

// resume goes on after a class part that is known.
func (s *Scanner) resume(p *classPart) {
	s.pos = len(p.pickle)
	s.memo = append(s.memo, p.memo...)
	if in := s.in; in != nil {
		in.Class, in.Note = p.class, &p.note
		in.Mentions = append(in.Mentions, p.mentions...)
		in.pairs = append(in.pairs, p.pairs...)
		in.Frames = append(in.Frames, p.frames...)
	}
}

// remember keeps the part that has just been executed, if another record that begins with it is sure to be the same up
// to there: memo numbers are bounded by the length of a record.
func (s *Scanner) remember(how how) {
	if s.err != nil || s.pos > longestPart || len(s.memo) > min(s.pos, partMemo) || len(s.found) > s.before {
		return
	}
	in := s.in
	if in != nil && (len(in.References)+len(in.multis) > 0 || len(in.Mentions)+len(in.pairs) > partMentions) {
		return
	}
	p := s.parts.room(s.data)
	if p == nil {
		return
	}
	p.how, p.note = how, 0
	p.pickle, p.memo = append(p.pickle[:0], s.data[:s.pos]...), append(p.memo[:0], s.memo...)
	if in == nil {
		return
	}
	p.class, in.Note = in.Class, &p.note
	p.mentions, p.pairs = append(p.mentions[:0], in.Mentions...), append(p.pairs[:0], in.pairs...)
	p.frames = append(p.frames[:0], in.Frames...)
}
