package filestorage

import (
	"context"
	"fmt"

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

// run scans from pos. Without an error, the file is good up to pos, and what stands after it, if anything, is the tail
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
	c.last, c.pos = h.Tid, c.behind()
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
	if c.buf == nil {
		c.buf = make([]byte, 0, scanBuf)
	}
	c.at, c.buf = pos, c.buf[:min(scanBuf, c.size-pos)]
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
