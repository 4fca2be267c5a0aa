package verify

import (
	"context"
	"io"
	"sync"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// A step is what a batch has for the digester: bytes of a transaction, or its end.
type step struct {
	from, to int // of the buffer, when it is about bytes
	ends     bool
	end      ended
}

// An ended is a transaction that was read to its end.
type ended struct {
	tid    zodb.Tid
	status zodb.Status
	pos    int64 // where the next one begins
	whole  bool  // all of it could be read
}

// A record in a batch, for the scanner of references.
type scanned struct {
	oid      zodb.Oid
	tid      zodb.Tid
	pos      int64
	from, to int // of the buffer
	refs     int // how many of the batch's are of this one
	err      error
}

// A batch is what was read of some transactions. It goes from the collector to the digester and the scanner at once,
// and comes back when both have done with it.
type batch struct {
	buf     []byte
	steps   []step
	records []scanned
	refs    []zodb.Oid // of all records, one after the other
}

const (
	batchLen  = 1 << 20  // when a batch is handed on
	batches   = 4        // that are under way
	maxRecord = 16 << 20 // above it a record is digested in parts, and its references are not looked at
)

// A collector is the check.Visitor of a pass.
type collector struct {
	p      *pass
	ctx    context.Context
	in     *filestorage.Inspector
	now    *filestorage.Offsets
	at     *batch
	txn    *filestorage.RawTransaction
	absent bool // the transaction counts as absent
	whole  bool // nothing of it could not be read
	refs   *openReferences

	toDigest  chan *batch // and from there to the scanner
	scanned   chan *batch
	free      chan *batch
	closeOnce sync.Once // of toDigest
}

func newCollector(ctx context.Context, p *pass) *collector {
	c := &collector{
		p: p, ctx: ctx, at: &batch{}, refs: &openReferences{},
		toDigest: make(chan *batch, batches), scanned: make(chan *batch, batches), free: make(chan *batch, batches),
	}
	for range batches - 1 {
		c.free <- &batch{}
	}
	return c
}

// Start is check.Visitor.
func (c *collector) Start(in *filestorage.Inspector, now *filestorage.Offsets) { c.in, c.now = in, now }

// Begin is check.Visitor.
func (c *collector) Begin(txn *filestorage.RawTransaction) (err error) {
	c.txn, c.whole = txn, true
	c.absent = txn.Meta.Status == zodb.StatusUndone
	if c.p.blocks != nil {
		c.p.blocks.at(txn.Pos, txn.End(), txn.Meta.Tid, nil)
	}
	if c.absent {
		return nil
	}
	from := len(c.at.buf)
	if c.at.buf, err = zodb.AppendDigestHead(c.at.buf, &txn.Meta); err != nil {
		return err
	}
	c.at.steps = append(c.at.steps, step{from: from, to: len(c.at.buf)})
	return nil
}

// Record is check.Visitor.
func (c *collector) Record(rec *filestorage.RawRecord, size int64, data io.Reader) error {
	c.sees(rec)
	from := len(c.at.buf)
	c.at.buf = zodb.AppendDigestRecord(c.at.buf, rec.Oid, rec.Tid, size)
	if size > maxRecord {
		return c.inParts(from, data, size)
	}
	start := len(c.at.buf)
	if size > 0 {
		c.at.buf = grown(c.at.buf, int(size))
		if _, err := io.ReadFull(data, c.at.buf[start:]); err != nil {
			return err
		}
	}
	c.at.steps = append(c.at.steps, step{from: from, to: len(c.at.buf)})
	if size > 0 {
		c.at.records = append(c.at.records, scanned{oid: rec.Oid, tid: rec.Tid, pos: rec.Pos, from: start,
			to: len(c.at.buf)})
	}
	if len(c.at.buf) >= batchLen {
		return c.hand()
	}
	return nil
}

// grown returns b with n more bytes.
func grown(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	more := make([]byte, len(b)+n, max(len(b)+n, 2*cap(b), batchLen+batchLen/4))
	copy(more, b)
	return more
}

// inParts digests a large record.
func (c *collector) inParts(from int, data io.Reader, size int64) error {
	for left := size; left > 0; {
		start := len(c.at.buf)
		n := int(min(left, batchLen))
		c.at.buf = grown(c.at.buf, n)
		if _, err := io.ReadFull(data, c.at.buf[start:]); err != nil {
			return err
		}
		left -= int64(n)
		c.at.steps = append(c.at.steps, step{from: from, to: len(c.at.buf)})
		if err := c.hand(); err != nil {
			return err
		}
		from = 0
	}
	return nil
}

// sees has damage to blocks name the record that it is in.
func (c *collector) sees(rec *filestorage.RawRecord) {
	if c.p.blocks != nil {
		c.p.blocks.at(rec.Pos, rec.Pos+recordHead+max(rec.Size, 8), rec.Tid, &rec.Oid)
	}
}

// recordHead is the length of the header of a record.
const recordHead = 42

// Broken is check.Visitor.
func (c *collector) Broken(rec *filestorage.RawRecord) error {
	c.sees(rec)
	c.whole = false
	return nil
}

// End is check.Visitor.
func (c *collector) End(whole bool) error {
	if c.p.blocks != nil {
		c.p.blocks.boundary(c.txn.End(), c.txn.Meta.Tid)
	}
	c.p.progress.Store(c.in.Pos())
	c.at.steps = append(c.at.steps, step{ends: true,
		end: ended{c.txn.Meta.Tid, c.txn.Meta.Status, c.txn.End(), whole && c.whole}})
	if len(c.at.buf) >= batchLen || len(c.at.steps) >= batchLen/64 {
		return c.hand()
	}
	return nil
}

// hand gives a batch to those who work on it, and takes one that they have done with.
func (c *collector) hand() error {
	select {
	case c.toDigest <- c.at:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	for {
		select {
		case c.at = <-c.free:
			return nil
		case b := <-c.scanned:
			c.takeBack(b)
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
}

// takeBack notes what a batch refers to.
func (c *collector) takeBack(b *batch) {
	refs := b.refs
	for i := range b.records {
		rec := &b.records[i]
		c.refs.note(rec, refs[:rec.refs], c.now)
		refs = refs[rec.refs:]
	}
	if cap(b.buf) > 4*batchLen {
		b.buf = nil
	}
	b.buf, b.steps, b.records, b.refs = b.buf[:0], b.steps[:0], b.records[:0], b.refs[:0]
	c.free <- b
}

// finish waits for the last batches.
func (c *collector) finish() error {
	if err := c.hand(); err != nil {
		return err
	}
	c.closeOnce.Do(func() { close(c.toDigest) })
	for b := range c.scanned {
		c.takeBack(b)
	}
	return context.Cause(c.ctx)
}
