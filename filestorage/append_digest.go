package filestorage

import (
	"context"
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

// A digester computes the digests of transactions while more of them is written: what zodb.DigestOf reads of a
// transaction is in the file, in the same order, between fields that it leaves out. It is given what has been checked
// and written already, and tells of each group when that is durable.
//
//	Appender ─ pieces, ends of groups ─▸ digest ─ whole groups ─▸ tell ─▸ AppendOptions.Durable
type digester struct {
	file *openDataFile
	told func(after zodb.Tid, start int64, txns []Appended)
	in   chan piece
	out  chan digestedGroup
	gone chan struct{} // closed: no group is waited for any more
	ends sync.WaitGroup

	c      appendStream
	unread bool   // nobody may ask for the digest of the transaction in progress
	buf    []byte // of it, what h has not been given; never more than digestBuffer
	h      hash.Hash
	err    error // of data that a record has from an earlier one
	done   []Appended
}

// A piece is what passes, or says where a group ends.
type piece struct {
	bytes []byte
	group *group   // not nil: it ends here
	after zodb.Tid // then: of the transaction before it
}

type digestedGroup struct {
	*group
	after zodb.Tid
	txns  []Appended
	err   error
}

// digestBuffer is up to how many bytes of a transaction are gathered and given to the hash at once.
const digestBuffer = 4 << 10

// newDigester begins to digest what comes after a transaction that ends at pos. Its two goroutines end with close.
func newDigester(file *openDataFile, pos int64, last zodb.Tid, told func(zodb.Tid, int64, []Appended)) *digester {
	d := &digester{
		file: file, told: told, in: make(chan piece), out: make(chan digestedGroup, 2), gone: make(chan struct{}),
		buf: make([]byte, 0, digestBuffer), h: sha256.New(),
	}
	d.c.start(pos, last)
	d.ends.Go(d.digest)
	d.ends.Go(d.tell)
	return d
}

// pass gives it what was written next, which must stay as it is until the next call has returned.
func (d *digester) pass(ctx context.Context, p piece) error {
	if d == nil {
		return nil
	}
	select {
	case d.in <- p:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// close waits until all groups are told of, of those that are not durable or failed by then only if wait is set.
func (d *digester) close(wait bool) {
	if d == nil {
		return
	}
	if !wait {
		close(d.gone)
	}
	close(d.in)
	d.ends.Wait()
}

func (d *digester) digest() {
	defer close(d.out)
	for p := range d.in {
		if p.group == nil {
			d.take(p.bytes)
			continue
		}
		d.out <- digestedGroup{p.group, p.after, d.done, d.err}
		d.done, d.err = make([]Appended, 0, len(d.done)), nil
	}
}

// tell tells of groups when they are durable and visible. Of one whose digests could not all be computed nobody is
// told: whoever follows the storage comes upon the damage when it reads that.
func (d *digester) tell() {
	for g := range d.out {
		select {
		case <-g.done:
		case <-d.gone:
			continue
		}
		if g.group.err == nil && g.err == nil {
			d.told(g.after, g.start, g.txns)
		}
	}
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
	switch {
	case d.unread:
	case len(d.buf)+len(b) <= digestBuffer:
		d.buf = append(d.buf, b...)
	default:
		_, _ = d.h.Write(d.buf)
		_, _ = d.h.Write(b)
		d.buf = d.buf[:0]
	}
}

// Write makes write an io.Writer.
func (d *digester) Write(b []byte) (int, error) {
	d.write(b)
	return len(b), nil
}

// sum returns the digest of the transaction in progress, which has ended.
func (d *digester) sum() (sum zodb.Digest) {
	_, _ = d.h.Write(d.buf)
	d.buf = d.h.Sum(d.buf[:0])
	copy(sum[:], d.buf)
	d.h.Reset()
	d.buf = d.buf[:0]
	return sum
}

// enter takes a fixed part of the file.
func (d *digester) enter(b []byte) {
	c := &d.c
	switch c.part {
	case partTxn:
		c.pos = c.offset - txnHeaderLen
		c.txn.decode(b)
		d.unread = c.txn.Status == zodb.StatusPacked || c.txn.Status == zodb.StatusUndone
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
	if d.unread {
		return
	}
	c := &d.c
	win := window{file: d.file.file, size: c.recAt}
	src := source{path: d.file.path}
	r, err := src.resolve(&win, c.rec.Oid, c.recAt, back)
	if err == nil {
		d.write(binary.BigEndian.AppendUint64(nil, uint64(r.size)))
		if r.size != zodb.NoData {
			_, err = io.Copy(d, &fileRange{file: d.file.file, pos: r.pos, end: r.pos + r.size})
		}
	}
	d.err = errors.Join(d.err, err)
}

// end takes the end of a transaction.
func (d *digester) end() {
	c := &d.c
	t := Appended{Tid: c.txn.Tid, Status: c.txn.Status, End: c.offset}
	if !d.unread {
		t.Digest = d.sum()
	}
	d.done = append(d.done, t)
	c.last, c.part = t.Tid, partTxn
}
