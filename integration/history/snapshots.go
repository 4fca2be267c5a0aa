package history

import (
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// seen judges what a client was shown, in order. It must see its own commits from then on.
func (c *checker) seen(line *Line) {
	switch line.Kind {
	case Commit:
		c.floor = max(c.floor, line.Tid)
	case Snapshot:
		c.values(line)
		first, behind := c.times(line)
		c.inTime(line, first, behind)
		c.keys(line)
	}
}

// values judges each value by itself.
func (c *checker) values(line *Line) {
	for oid, read := range line.Values {
		value, ok := c.truth.txns[read.Serial].Writes[oid]
		switch {
		case !ok:
			c.violated(Committed, "oid %v has no revision %v", oid, read.Serial)
		case value != read.Value:
			c.violated(Committed, "oid %v at %v is %q, the client read %q", oid, read.Serial, value, read.Value)
		}
	}
}

// times returns of which times a snapshot can be: from first on, before behind.
func (c *checker) times(line *Line) (first, behind zodb.Tid) {
	behind = zodb.MaxTid
	for oid, read := range line.Values {
		first = max(first, read.Serial)
		behind = min(behind, c.truth.next(oid, read.Serial))
	}
	return first, behind
}

// inTime judges the time of a snapshot.
func (c *checker) inTime(line *Line, first, behind zodb.Tid) {
	switch {
	case first >= behind:
		c.violated(PointInTime, "a revision of %v was read together with one that was replaced at %v", first, behind)
	case line.At != 0 && line.At < first:
		c.violated(PointInTime, "a client who sees %v has read a revision of %v", line.At, first)
	case line.At != 0 && line.At >= behind:
		c.violated(PointInTime, "a client who sees %v has read a revision that was replaced at %v", line.At, behind)
	}
	switch {
	case behind <= c.floor:
		c.violated(BackInTime, "a client who has seen %v has read a revision that was replaced at %v", c.floor, behind)
	case line.At != 0 && line.At < c.floor:
		c.violated(BackInTime, "a client who has seen %v sees %v", c.floor, line.At)
	}
	c.floor = max(c.floor, first, line.At)
}

// keys judges the number of keys that the client counted at a known time.
func (c *checker) keys(line *Line) {
	if line.Keys == nil || line.At == 0 {
		return
	}
	n, found := slices.BinarySearch(c.adding, line.At)
	if found {
		n++
	}
	if n != *line.Keys {
		c.violated(Keys, "there were %d at %v, the client has counted %d", n, line.At, *line.Keys)
	}
}
