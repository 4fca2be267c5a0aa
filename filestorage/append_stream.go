package filestorage

import (
	"encoding/binary"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A groupSize is how much an appended group has at most: it ends with the first transaction with which it has as much
// of anything. So three groups, one being made durable, one that waits and one that is written, are less than
// maxUnsynced without the last transaction.
type groupSize struct {
	weight int64
	txns   int
	blobs  int

	together int // from how many blobs on they are made durable together
}

const (
	appendBytes = maxUnsynced / 4
	appendTxns  = 16 << 10
)

var appendedGroup = groupSize{appendBytes, appendTxns, maxOpenBlobs, togetherFrom}

// An appendStream is where in the other copy's file an Appender is: bytes go by, and it decodes the fixed parts of
// transactions and records.
type appendStream struct {
	offset int64    // of the next byte
	last   zodb.Tid // of the last whole transaction

	cursor            // the transaction in progress
	rec    recHeader  // the record in progress
	recAt  int64      // its offset
	part   appendPart // what comes next
	skip   int64      // bytes before it that are of no interest
	split  []byte     // the beginning of a part that was divided
}

// An appendPart is a fixed part of a file.
type appendPart int

const (
	partTxn    appendPart = iota // header of a transaction
	partRecord                   // header of a record
	partHead                     // the beginning of the data of a record, where it says whether there is a blob
	partBack                     // back pointer of a record
	partLength                   // second length of a transaction
)

var partLens = [...]int{partTxn: txnHeaderLen, partRecord: recHeaderLen, partBack: backLen, partLength: lengthLen}

// start goes to where a transaction begins.
func (c *appendStream) start(pos int64, last zodb.Tid) {
	*c = appendStream{offset: pos, last: last, split: c.split[:0]}
}

// next passes b up to the end of the next fixed part, and returns that and how much has passed. The part is nil when b
// ends before.
func (c *appendStream) next(b []byte) (part []byte, n int) {
	n = int(min(c.skip, int64(len(b))))
	c.skip -= int64(n)
	want := c.partLen() - len(c.split)
	switch rest := b[n:]; {
	case c.skip > 0 || len(rest) == 0:
	case len(c.split) == 0 && len(rest) >= want:
		part, n = rest[:want], n+want
	default:
		have := min(want, len(rest))
		c.split, n = append(c.split, rest[:have]...), n+have
		if have == want {
			part, c.split = c.split, c.split[:0]
		}
	}
	c.offset += int64(n)
	return part, n
}

// partLen is how many bytes the next fixed part has.
func (c *appendStream) partLen() int {
	if c.part == partHead {
		return int(min(c.rec.PLen, zodb.BlobHeadLen))
	}
	return partLens[c.part]
}

// take passes b up to the end of the group, and returns how much has passed and whether the group is whole.
func (a *Appender) take(b []byte) (n int, whole bool, err error) {
	c := &a.stream
	for n < len(b) && !whole && err == nil {
		part, passed := c.next(b[n:])
		n += passed
		if part == nil {
			break
		}
		switch c.part {
		case partTxn:
			err = a.enterTxn(part)
		case partRecord:
			err = a.enterRecord(part)
		case partHead:
			a.noteHead(part)
			err = a.endRecord()
		case partBack:
			a.noteBack(int64(binary.BigEndian.Uint64(part)))
			a.noteLink(int64(binary.BigEndian.Uint64(part)))
			err = a.endRecord()
		case partLength:
			whole, err = a.endTxn(binary.BigEndian.Uint64(part))
		}
	}
	return n, whole, err
}

// different returns the error for what is at pos, which is about the record in progress if ofRecord is set.
func (a *Appender) different(pos int64, ofRecord bool, format string, args ...any) error {
	e := &NotIdenticalError{Path: a.s.path, Pos: pos, Tid: a.stream.txn.Tid, What: fmt.Sprintf(format, args...)}
	if ofRecord {
		e.Oid = a.stream.rec.Oid
	}
	return e
}

// enterTxn takes the header of a transaction.
func (a *Appender) enterTxn(b []byte) error {
	c := &a.stream
	c.pos = c.offset - txnHeaderLen
	h := &c.txn
	h.decode(b)
	at := c.pos
	switch {
	case !h.Status.Known() || h.Status == zodb.StatusCheckpoint:
		return a.different(at+statusAt, false, "status %q, want one of a finished transaction", byte(h.Status))
	case h.Tid == 0 || h.Tid == c.last:
		return a.different(at, false, "tid %v after tid %v", h.Tid, c.last)
	case h.Length > maxAppendLength:
		return a.different(at+8, false, "length %d of a transaction, want at most %d", h.Length, int64(maxAppendLength))
	case int64(h.Length) < h.headerLen():
		return a.different(at+8, false, "length %d of a transaction, want at least %d", h.Length, h.headerLen())
	}
	if a.opt.Check != nil {
		if err := a.opt.Check(h.Tid); err != nil {
			return err
		}
	}
	c.skip = h.headerLen() - txnHeaderLen
	return a.expect(c.first())
}

// maxAppendLength bounds the length that a transaction may say that it has. No disk has as much.
const maxAppendLength = 1 << 60

// expect says what comes at pos, where records may begin or end.
func (a *Appender) expect(pos int64) error {
	c := &a.stream
	switch room := c.second() - pos; {
	case room == 0:
		c.part = partLength
	case room < recHeaderLen:
		return a.different(pos, false, "%d bytes before the end of the transaction, too few for a record", room)
	default:
		c.part = partRecord
	}
	return nil
}

// enterRecord takes the header of a record.
func (a *Appender) enterRecord(b []byte) error {
	c := &a.stream
	c.recAt = c.offset - recHeaderLen
	r := &c.rec
	r.decode(b)
	room := c.second() - c.offset
	switch {
	case r.Tloc != c.pos:
		return a.different(c.recAt+24, true, "the offset %d of its transaction, want %d", r.Tloc, c.pos)
	case r.VLen != 0:
		return a.different(c.recAt+32, true, "a record of a ZODB 3 version")
	case r.PLen > uint64(room) || r.PLen == 0 && room < backLen:
		return a.different(c.recAt+34, true, "%d bytes of data, want at most %d", r.PLen, room)
	}
	a.notePrev()
	a.noteBlob()
	if c.txn.Status != zodb.StatusUndone {
		a.entries = append(a.entries, entry{r.Oid, c.recAt})
	}
	a.maxOid = max(a.maxOid, r.Oid)
	if r.PLen == 0 {
		c.part = partBack
		return nil
	}
	if a.opt.Blobs != nil && a.opt.HasBlob == nil {
		c.part = partHead
		return nil
	}
	c.skip = int64(r.PLen)
	return a.endRecord()
}

// endRecord says what comes after the record.
func (a *Appender) endRecord() error {
	c := &a.stream
	return a.expect(c.recAt + c.rec.length())
}

// noteHead looks at the beginning of the data of a record, which says whether it may have a blob.
func (a *Appender) noteHead(head []byte) {
	c := &a.stream
	if zodb.IsBlobRecord(head) {
		a.blobs = append(a.blobs, BlobID{c.rec.Oid, c.rec.Tid})
	}
	c.skip = int64(c.rec.PLen) - int64(len(head))
}

// noteLink does the same for a record with the data of an earlier one: that may be of a blob.
func (a *Appender) noteLink(back int64) {
	if r := &a.stream.rec; back != 0 && a.opt.Blobs != nil && a.opt.HasBlob == nil {
		a.blobs = append(a.blobs, BlobID{r.Oid, r.Tid})
	}
}

func (a *Appender) noteBlob() {
	r := &a.stream.rec
	if a.opt.HasBlob != nil && a.opt.HasBlob(r.Oid, r.Tid) {
		a.blobs = append(a.blobs, BlobID{r.Oid, r.Tid})
	}
}

// endTxn takes the second length, and reports whether the group is whole with this transaction.
func (a *Appender) endTxn(length uint64) (whole bool, err error) {
	c, g := &a.stream, a.g
	h := &c.txn
	if length != h.Length {
		return false, a.different(c.second(), false, "length %d after a transaction of length %d", length, h.Length)
	}
	if g.n == 0 {
		g.status = h.Status
	}
	g.n++
	g.end, g.last = c.offset, h.Tid
	for _, e := range a.entries {
		a.newest.set(e.oid, e.pos)
	}
	g.entries, a.entries = append(g.entries, a.entries...), a.entries[:0]
	g.weight = a.weigh(g.end-g.start, len(g.entries))
	a.highest = max(a.highest, h.Tid)
	a.whole.checks, a.whole.blobs = len(a.checks), len(a.blobs)
	c.last, c.part = h.Tid, partTxn
	return a.full(), nil
}
