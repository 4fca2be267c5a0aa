package check

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/plural"
)

// maxIndexFindings is how many wrong entries are reported one by one: an index of another file has millions.
const maxIndexFindings = 20

// A savedIndex is what Data.fs.index says, and how far that has been verified.
type savedIndex struct {
	entries *filestorage.Offsets // nil when there is nothing to compare, or no more
	pos     int64                // up to where the entries are complete
	state   string               // for Summary.Index, "" while not known
	wrong   int64
}

// loadIndex reads the saved index. Any failure to do so only makes the next start of a server slower.
func (c *checker) loadIndex() {
	entries, pos, err := filestorage.SavedIndex(c.opt.FS, c.opt.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.saved.state = "absent"
	case err != nil:
		c.saved.state = "unusable"
		c.report(Finding{Warning, KindIndexFile, nil, nil, nil,
			fmt.Sprintf("%v; it is rebuilt when the storage is opened", err)})
	default:
		c.saved.entries, c.saved.pos = entries, pos
	}
}

// reached compares the saved index with the file when the walk has come to where it was saved.
func (c *checker) reached(pos int64) {
	s := &c.saved
	if s.entries == nil || pos != s.pos || c.gap {
		return
	}
	for oid, want := range c.now.All() {
		if got := s.entries.Get(oid); got != want {
			c.wrongEntry(Finding{Damage, KindIndexEntry, at(want), nil, at(oid),
				fmt.Sprintf("the saved index has %d for it", got)})
		}
	}
	for oid, got := range s.entries.All() {
		if c.now.Get(oid) == 0 {
			c.wrongEntry(Finding{Damage, KindIndexEntry, nil, nil, at(oid),
				fmt.Sprintf("the saved index has %d for an object that does not exist", got)})
		}
	}
	s.entries = nil
	switch {
	case s.wrong > 0:
		s.state = "wrong"
		c.report(Finding{Damage, KindIndexFile, nil, nil, nil,
			fmt.Sprintf("%s in %s.index: stop the server, remove that file and start again; it is rebuilt",
				plural.Or(s.wrong, "entry is wrong", "entries are wrong"), c.opt.Path)})
	default:
		s.state = "good"
	}
}

func (c *checker) wrongEntry(f Finding) {
	c.saved.wrong++
	if c.saved.wrong <= maxIndexFindings {
		c.report(f)
	}
}

// judgeIndex is called at the end of the walk.
func (c *checker) judgeIndex() {
	s := &c.saved
	switch {
	case s.entries != nil && !c.gap && s.pos > c.in.Pos():
		s.state = "unusable"
		c.endMissing(nil, fmt.Sprintf("%s.index was saved when the file had %d bytes, and it has %d", c.opt.Path, s.pos,
			c.in.Pos()))
	case s.entries != nil && !c.gap:
		s.state = "unusable"
		c.report(Finding{Warning, KindIndexFile, nil, nil, nil,
			fmt.Sprintf("it was saved at offset %d, where no transaction of "+
				"this file ends; it is rebuilt when the storage is opened", s.pos)})
	case s.entries != nil:
		s.state = "not reached"
	case s.state == "good" && s.pos < c.in.Pos():
		s.state = "stale" // normal: only closing and packing save it
	}
	s.entries = nil
	c.sum.Index = s.state
}
