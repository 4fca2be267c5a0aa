package filestorage

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"sync"

	"github.com/zrsd/zrsd/zodb"
)

// An Appended is a transaction that an Appender has made durable.
type Appended struct {
	Tid    zodb.Tid
	Status zodb.Status
	Digest zodb.Digest // as zodb.DigestOf; zero for transactions of status 'p' and 'u'
	End    int64       // the offset after it
}

// A digester computes the digests of transactions as their bytes pass: what zodb.DigestOf reads of a transaction is in
// the file, in the same order, between fields that it leaves out. It is given what has been checked already.
type digester struct {
	file *openDataFile
	c    appendStream
	h    hash.Hash
	w    *bufio.Writer // to h
	err  error         // of data that a record has from an earlier one

	done []Appended // whole transactions of the group
}

// digestBuffer is how much of small records is given to the hash at a time.
const digestBuffer = 4 << 10

func newDigester(file *openDataFile, pos int64, last zodb.Tid) *digester {
	d := &digester{file: file, h: sha256.New()}
	d.w = bufio.NewWriterSize(d.h, digestBuffer)
	d.c.start(pos, last)
	return d
}

// take passes b.
func (d *digester) take(b []byte) {
	for len(b) > 0 {
		d.write(b[:min(d.c.skip, int64(len(b)))]) // metadata, or data of a record
		part, n := d.c.next(b)
		b = b[n:]
		if part != nil {
			d.enter(part)
		}
	}
}

// write takes a piece of the transaction in progress. A hash never fails.
func (d *digester) write(b []byte) {
	if d.wanted() {
		_, _ = d.w.Write(b)
	}
}

// wanted reports whether somebody may ask for the digest of the transaction in progress.
func (d *digester) wanted() bool {
	status := d.c.txn.Status
	return status != zodb.StatusPacked && status != zodb.StatusUndone
}

// enter takes a fixed part of the file.
func (d *digester) enter(b []byte) {
	c := &d.c
	switch c.part {
	case partTxn:
		c.pos = c.offset - txnHeaderLen
		c.txn.decode(b)
		d.write(b[:8])          // tid
		d.write(b[statusAt+1:]) // lengths of the metadata, which follow
		c.skip = c.txn.headerLen() - txnHeaderLen
		d.expect(c.first())
	case partRecord:
		c.recAt = c.offset - recHeaderLen
		c.rec.decode(b)
		d.write(b[:16]) // oid and tid
		if c.rec.PLen == 0 {
			c.part = partBack
			return
		}
		d.write(b[plenAt:]) // the size of the data, which follow
		c.skip = int64(c.rec.PLen)
		d.expect(c.recAt + c.rec.length())
	case partBack:
		d.link(int64(binary.BigEndian.Uint64(b)))
		d.expect(c.recAt + c.rec.length())
	case partHead: // it is taken as data
	case partLength:
		d.end()
	}
}

// expect says what comes at pos, where records may begin or end.
func (d *digester) expect(pos int64) {
	d.c.part = partRecord
	if pos == d.c.second() {
		d.c.part = partLength
	}
}

// link takes the data that a record has from an earlier one, which is in the file.
func (d *digester) link(back int64) {
	if !d.wanted() {
		return
	}
	c := &d.c
	win := window{file: d.file.file, size: c.recAt}
	src := source{path: d.file.path}
	r, err := src.resolve(&win, c.rec.Oid, c.recAt, back)
	if err == nil {
		d.write(binary.BigEndian.AppendUint64(nil, uint64(r.size)))
		if r.size != zodb.NoData {
			_, err = io.Copy(d.w, &fileRange{file: d.file.file, pos: r.pos, end: r.pos + r.size})
		}
	}
	d.err = errors.Join(d.err, err)
}

// end takes the end of a transaction.
func (d *digester) end() {
	c := &d.c
	t := Appended{Tid: c.txn.Tid, Status: c.txn.Status, End: c.offset}
	if d.wanted() {
		_ = d.w.Flush()
		d.h.Sum(t.Digest[:0])
		d.h.Reset()
	}
	d.done = append(d.done, t)
	c.last, c.part = t.Tid, partTxn
}

// write writes bytes at their offset, and has their digests computed meanwhile. Where a record has its data from an
// earlier one, which may be among these bytes, they are written first.
func (a *Appender) write(p []byte, at int64) error {
	d := a.digests
	if d == nil {
		return a.output(p, at)
	}
	if a.linked {
		a.linked = false
		err := a.output(p, at)
		d.take(p)
		return err
	}
	var computing sync.WaitGroup
	defer computing.Wait()
	computing.Go(func() { d.take(p) })
	return a.output(p, at)
}

// tell returns what is to be called when the group is durable and visible. A group whose digests could not
// all be computed is not told of: whoever follows the storage comes upon the damage when it reads that.
func (a *Appender) tell() func() {
	d := a.digests
	if d == nil {
		return nil
	}
	begin, start, done, err := a.before, a.g.start, d.done, d.err
	d.done, d.err = make([]Appended, 0, len(done)), nil
	a.before = a.g.last
	if err != nil {
		return nil
	}
	return func() { a.opt.Durable(begin, start, done) }
}
