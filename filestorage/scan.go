package filestorage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// scanBuf is how much a scan reads at a time.
const scanBuf = 1 << 20

// A scan walks over a Data.fs once, front to back, checks its structure and collects the index. It stops at pos, the
// end of the last good transaction.
type scan struct {
	file     vfs.File
	path     string
	size     int64
	ctx      context.Context // a scan lives inside one call of Open
	progress func(done, total int64)

	buf []byte // what is read
	at  int64  // its offset

	cursor   // after the last good transaction
	index    *index
	last     zodb.Tid // its tid
	strange  int      // records whose prev is not the record before them
	disorder int      // transactions whose tid is not above the one before
}

func newScan(ctx context.Context, file vfs.File, path string, size int64) *scan {
	return &scan{ctx: ctx, file: file, path: path, size: size, index: newIndex(),
		cursor: cursor{pos: magicLen}}
}

// run scans from pos. Without an error, the file is good up to pos, and what is after it, if anything, is the tail
// of an interrupted commit.
func (c *scan) run() error {
	for c.pos < c.size {
		whole, err := c.transaction()
		if err != nil {
			return err
		}
		if !whole {
			break
		}
	}
	c.report(c.pos)
	return nil
}

// transaction steps over the transaction at pos. It is not whole when it is the beginning of the tail.
func (c *scan) transaction() (whole bool, err error) {
	left := c.size - c.pos
	if left < txnHeaderLen {
		return false, nil
	}
	b, err := c.enter(c, c.pos)
	if err != nil {
		return false, err
	}
	h := c.txn
	switch {
	case h.Status == zodb.StatusCheckpoint || unwritten(b):
		return false, c.checkUnfinished()
	case !h.Status.Known():
		return false, c.corrupt(c.pos+statusAt, "a transaction's status", fmt.Sprintf("byte 0x%02x", byte(h.Status)))
	case h.Length > uint64(left) || int64(h.Length) > left-lengthLen || int64(h.Length) < h.headerLen():
		return false, c.checkTorn(&h)
	}
	if err := c.inside(&h); err != nil {
		return false, err
	}
	if h.Tid <= c.last {
		c.disorder++
	}
	c.last, c.pos = h.Tid, c.after()
	return true, nil
}

// inside checks the records and the second length of the transaction at pos and indexes the records.
func (c *scan) inside(h *txnHeader) error {
	end := c.second()
	for pos := c.first(); pos < end; {
		r, err := c.header(pos, end, c.pos)
		if err != nil {
			return err
		}
		if h.Status != zodb.StatusUndone {
			c.take(&r, pos, h.Status)
		}
		pos += r.length()
	}
	return c.checkSecond(c)
}

// take makes the record at pos the current one of its oid. Packs do not link the records that they write.
func (c *scan) take(r *recHeader, pos int64, status zodb.Status) {
	was, _ := c.index.get(r.Oid)
	if was != r.Prev && was < c.pos && (r.Prev != 0 || status != zodb.StatusPacked) {
		c.strange++
	}
	c.index.set(r.Oid, pos)
}

// header returns the header of the record at pos, which must belong to the transaction at tloc and end by end.
func (c *scan) header(pos, end, tloc int64) (r recHeader, err error) {
	room := end - pos - recHeaderLen
	if room < 0 {
		return r, c.corrupt(pos, "a record of the transaction at "+fmt.Sprint(tloc), fmt.Sprintf("its end at %d", end))
	}
	b, err := c.bytes(pos, recHeaderLen)
	if err != nil {
		return r, err
	}
	r.decode(b)
	switch {
	case r.Tloc != tloc:
		return r, c.corrupt(pos+24, fmt.Sprintf("the offset %d of the record's transaction", tloc), fmt.Sprint(r.Tloc))
	case r.VLen != 0:
		return r, fmt.Errorf("%s: offset %d: %w", c.path, pos, ErrVersions)
	case r.PLen > uint64(room) || r.PLen == 0 && room < backLen:
		return r, c.corrupt(pos+34, fmt.Sprintf("a record that ends by %d", end), fmt.Sprint(r.PLen, " bytes of data"))
	}
	return r, nil
}

// bytes returns n bytes at pos, valid until the next call. It reads ahead, so it is cheap as long as positions rise.
func (c *scan) bytes(pos int64, n int) ([]byte, error) {
	if pos >= c.at && pos+int64(n) <= c.at+int64(len(c.buf)) {
		return c.buf[pos-c.at:][:n], nil
	}
	if err := context.Cause(c.ctx); err != nil {
		return nil, err
	}
	if pos < 0 || int64(n) > c.size-pos {
		return nil, c.corrupt(pos, fmt.Sprintf("%d bytes", n), "the end of the file")
	}
	c.report(pos)
	ahead := min(scanBuf, c.size-pos)
	if int64(cap(c.buf)) < ahead {
		c.buf = make([]byte, ahead)
	}
	c.at, c.buf = pos, c.buf[:ahead]
	if err := readFull(c.file, c.buf, pos); err != nil {
		c.buf = c.buf[:0]
		return nil, err
	}
	return c.buf[:n], nil
}

func (c *scan) report(pos int64) {
	if c.progress != nil {
		c.progress(pos, c.size)
	}
}

func (c *scan) corrupt(pos int64, want, got string) error { return corruptAt(c.path, pos, want, got) }

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

// tailLimit is how many bytes of whole transactions, the largest not counted, can be in the tail of an interrupted
// commit. It is above what a storage lets be on its way to the disk (maxUnsynced).
const tailLimit = 64 << 20

// unwritten reports whether the header b begins a part of the file that grew without ever being written: from the
// status on, or up to it, there are zeros, and a status is never zero. A header may lie in two sectors, of which a
// power failure leaves either.
func unwritten(b []byte) bool { return allZero(b[statusAt:txnHeaderLen]) || allZero(b[:statusAt+1]) }

func allZero(b []byte) bool { return !slices.ContainsFunc(b, func(x byte) bool { return x != 0 }) }

// checkUnfinished decides about a transaction at pos that never became final. It begins the tail, also when whole
// transactions follow: those of its group. More of them than a group can have mean that a good file was damaged here.
func (c *scan) checkUnfinished() error {
	ahead, err := c.wholeAhead()
	if err != nil {
		return err
	}
	after, _, err := c.wholeAfter()
	if err != nil {
		return err
	}
	if n := max(ahead.besides, after.besides); n > tailLimit {
		return c.corrupt(c.pos+statusAt,
			fmt.Sprintf("a finished transaction, since more than %d MiB of them follow", n>>20), "one that is not")
	}
	return nil
}

// checkTorn decides about a transaction at pos whose status is final and whose length h cannot be right. It is the
// tail if it is the last one and its end is missing. If it is there after all, or if a whole transaction stands
// after it, the length was damaged, and good data would be lost by cutting.
func (c *scan) checkTorn(h *txnHeader) error {
	after, exact, err := c.wholeAfter()
	if err != nil {
		return err
	}
	var because string
	switch {
	case after.n > 0:
		because = fmt.Sprintf("the transaction at %d after it is complete", after.first)
	case exact:
		because = "the file ends with its second length"
	default:
		end, err := c.endByRecords(h)
		if err != nil {
			return err
		}
		if end == 0 {
			return nil
		}
		because = fmt.Sprintf("its records and its second length end at %d", end)
	}
	return c.corrupt(c.pos+8, "the length of a transaction ("+because+")", fmt.Sprint(h.Length))
}

// A chain is a number of adjacent whole transactions.
type chain struct {
	n              int
	first          int64 // offset of the first one
	besides        int64 // their bytes without those of the largest
	largest        int64
	tooLongForTail bool
}

func (ch *chain) add(at, bytes int64) {
	ch.n++
	ch.first = at
	ch.besides += min(bytes, ch.largest)
	ch.largest = max(bytes, ch.largest)
	ch.tooLongForTail = ch.besides > tailLimit
}

// wholeAfter follows second lengths backwards from the end of the file for as long as they lead to transactions after
// pos whose tids rise up to the end. exact says that one led to pos itself.
func (c *scan) wholeAfter() (ch chain, exact bool, err error) {
	next := zodb.Tid(math.MaxUint64)
	for end := c.size; end-c.pos >= txnHeaderLen+lengthLen && !ch.tooLongForTail; {
		var b [txnHeaderLen]byte
		if err := c.peek(b[:lengthLen], end-lengthLen); err != nil {
			return ch, false, err
		}
		length, room := binary.BigEndian.Uint64(b[:]), uint64(end-lengthLen-c.pos)
		if length < txnHeaderLen || length >= room {
			return ch, length == room, nil
		}
		at := end - lengthLen - int64(length)
		if err := c.peek(b[:], at); err != nil {
			return ch, false, err
		}
		var h txnHeader
		h.decode(b[:])
		if h.Length != length || int64(length) < h.headerLen() || !h.Status.Known() ||
			h.Tid <= c.last || h.Tid >= next {
			return ch, false, nil
		}
		ch.add(at, end-at)
		next, end = h.Tid, at
	}
	return ch, false, nil
}

// wholeAhead follows lengths forwards from pos for as long as the second ones agree.
func (c *scan) wholeAhead() (ch chain, err error) {
	r := &plain{file: c.file, path: c.path}
	for at := c.pos; c.size-at >= txnHeaderLen+lengthLen && !ch.tooLongForTail; {
		var next cursor
		if _, err := next.enter(r, at); err != nil {
			return ch, err
		}
		h := &next.txn
		if h.Length > uint64(c.size-at-lengthLen) || int64(h.Length) < h.headerLen() || !h.Status.Known() {
			return ch, nil
		}
		if whole, err := next.whole(r); err != nil || !whole {
			return ch, err
		}
		ch.add(at, next.after()-at)
		at = next.after()
	}
	return ch, nil
}

// endByRecords follows the records of the transaction at pos without looking at its length. It returns where they end,
// if the length that fits is there and after it nothing or another transaction; else 0.
func (c *scan) endByRecords(h *txnHeader) (int64, error) {
	pos := c.pos + h.headerLen()
	for {
		r, err := c.header(pos, c.size, c.pos)
		if noRecord(err) {
			break
		}
		if err != nil {
			return 0, err
		}
		pos += r.length()
	}
	var b [lengthLen + txnHeaderLen]byte
	n := min(c.size-pos, int64(len(b)))
	if n != lengthLen && n != int64(len(b)) {
		return 0, nil
	}
	if err := c.peek(b[:n], pos); err != nil {
		return 0, err
	}
	if binary.BigEndian.Uint64(b[:]) != uint64(pos-c.pos) {
		return 0, nil
	}
	var next txnHeader
	if next.decode(b[lengthLen:]); n > lengthLen && (next.Tid <= h.Tid || !next.Status.Known()) {
		return 0, nil
	}
	return pos, nil
}

// noRecord reports whether err says that the bytes read are no record of the transaction, rather than that they could
// not be read.
func noRecord(err error) bool {
	var corrupt *zodb.CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, ErrVersions)
}

// before decodes the header of the transaction that ends at end, and returns where it begins.
func (c *scan) before(end int64, h *txnHeader) (int64, error) {
	var b [txnHeaderLen]byte
	if end < magicLen+txnHeaderLen+lengthLen {
		return 0, c.corrupt(magicLen, "a transaction", "the end of it at "+fmt.Sprint(end))
	}
	if err := c.peek(b[:lengthLen], end-lengthLen); err != nil {
		return 0, err
	}
	length := binary.BigEndian.Uint64(b[:])
	if length < txnHeaderLen || length > uint64(end-lengthLen-magicLen) {
		return 0, c.corrupt(end-lengthLen, "a transaction's second length", fmt.Sprint(length))
	}
	at := end - lengthLen - int64(length)
	if err := c.peek(b[:], at); err != nil {
		return 0, err
	}
	h.decode(b[:])
	if h.Length != length || int64(length) < h.headerLen() || !h.Status.Known() {
		return 0, c.corrupt(at, fmt.Sprintf("a transaction of length %d", length),
			fmt.Sprintf("length %d, status 0x%02x", h.Length, byte(h.Status)))
	}
	return at, nil
}

// peek fills b from pos without reading ahead.
func (c *scan) peek(b []byte, pos int64) error {
	return readFull(c.file, b, pos)
}
