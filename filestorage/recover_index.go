package filestorage

import (
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// indexSuffix makes the path of the saved index out of that of the Data.fs.
const indexSuffix = ".index"

// probedRecords is how many records of the last transaction are looked up in a saved index, as in ZODB.
const probedRecords = 5

// accept makes the scan begin at pos with the saved index x, if x can be the index of the file up to there: a
// transaction ends at pos, and the first records of the last one that has any are where x says. ZODB also rejects an
// index after a transaction that stores an oid twice; here the entry only has to be a record of that transaction.
func (c *scan) accept(x *index, pos int64) error {
	if pos < magicLen || pos > c.size {
		return fmt.Errorf("it belongs to a file of %d bytes, this one has %d", pos, c.size)
	}
	var last zodb.Tid
	var h txnHeader
	for at := pos; at > magicLen; {
		end := at - lengthLen
		start, err := c.before(at, &h)
		if err != nil {
			return fmt.Errorf("no transaction ends where it was saved, at %d: %w", pos, err)
		}
		at = start
		if h.Status == zodb.StatusCheckpoint {
			return c.corrupt(at+statusAt, "a finished transaction", "status c")
		}
		if last == 0 {
			last = h.Tid
		}
		if h.Status == zodb.StatusUndone || int64(h.Length) == h.headerLen() {
			continue
		}
		if err := c.agrees(x, at, end, &h); err != nil {
			return err
		}
		c.index, c.pos, c.last = x, pos, last
		return nil
	}
	if x.len() != 0 {
		return fmt.Errorf("it has %d entries, the file no record up to %d", x.len(), pos)
	}
	c.index, c.pos, c.last = x, pos, last
	return nil
}

// agrees compares x with the first records of the transaction at tloc, whose records end at end.
func (c *scan) agrees(x *index, tloc, end int64, h *txnHeader) error {
	pos := tloc + h.headerLen()
	for range probedRecords {
		if pos >= end {
			return nil
		}
		r, err := c.header(pos, end, tloc)
		if err != nil {
			return err
		}
		if at, ok := x.get(r.Oid); !ok || at != pos && !c.standsAt(at, r.Oid, tloc, end) {
			return fmt.Errorf("it has oid %v at %d, the file at %d", r.Oid, at, pos)
		}
		pos += r.length()
	}
	return nil
}

// standsAt reports whether a record of oid in the transaction [tloc, end) is at pos.
func (c *scan) standsAt(pos int64, oid zodb.Oid, tloc, end int64) bool {
	if pos <= tloc || pos >= end {
		return false
	}
	r, err := c.header(pos, end, tloc)
	return err == nil && r.Oid == oid
}
