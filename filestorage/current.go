package filestorage

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/zodb"
)

// A CurrentRecord is the current record of an object. It is valid as long as the call that has it.
type CurrentRecord struct {
	Oid  zodb.Oid
	Tid  zodb.Tid
	Pos  int64
	Size int64  // of the record in the file, with its header
	Data []byte // nil: the object does not exist any more
	Err  error  // why there are no data, where they could not be read
}

// A CurrentVisit is one over the current records.
type CurrentVisit struct {
	Workers int // that call Visit at the same time; 0: one
	// Visit is called for each current record, by a worker with this number. An error ends the visit.
	Visit    func(worker int, r *CurrentRecord) error
	Progress func(done, total int64) // called now and then, in bytes; may be nil
	Begin    func()                  // is what each goroutine of the visit does first; may be nil
}

const (
	// blockLen is how much is read at a time: what the cache of a core still has when the records are visited.
	blockLen = 256 << 10
	// afterBlock is how much more is read: all headers that begin in the block are whole then, and small records.
	afterBlock = 2 << 10
	// longestInBlock is how long a record may be for a block to be made longer for it.
	longestInBlock = 1 << 20
	// largestVisited is how large data may be to be visited: as much as a pack takes to be a record's pickles.
	largestVisited = 256 << 20
)

// Oids yields the oids of all objects that have a record, ascending, also of those that do not exist any more.
func (s *Storage) Oids() iter.Seq[zodb.Oid] {
	return func(yield func(zodb.Oid) bool) {
		var buf [pageOids]entry
		x := s.present().index
		for entries := x.chunk(0, buf[:0]); len(entries) > 0; {
			for i := range entries {
				if !yield(entries[i].oid) {
					return
				}
			}
			after := entries[len(entries)-1].oid + 1
			if after == 0 {
				return
			}
			entries = x.chunk(after, buf[:0])
		}
	}
}

// VisitCurrent reads the data file once, from the front to the end, and has its current records visited. Each worker
// does all of it, with a block at a time. Only where records begin has to be found in the order of the file:
//
//	worker 1   │ read a block │ find its records │ visit those that the index has │ read …
//	worker 2        │ read the next block       │ find its records │ visit …
//
// Nothing is copied. It sees what was committed when it began. On a storage that takes commits meanwhile, objects that
// these change may be left out: open the file once more, read-only.
func (s *Storage) VisitCurrent(ctx context.Context, v CurrentVisit) error {
	e := s.hold()
	defer e.release()
	end := e.size()
	r := &blockReader{e: e, end: end, pos: min(magicLen, end), visit: v}
	r.found.L = &r.mu
	group, ctx := errgroup.WithContext(ctx)
	for worker := range max(v.Workers, 1) {
		group.Go(func() error {
			if v.Begin != nil {
				v.Begin()
			}
			return r.visitBlocks(ctx, worker)
		})
	}
	return s.meets(group.Wait())
}

// A block is a part of the file with the records that begin in it.
type block struct {
	buf     []byte // longer than the block, where the file is
	at, end int64
	records []blockRecord
}

// A blockRecord is where a record is.
type blockRecord struct {
	oid  zodb.Oid
	tid  zodb.Tid
	pos  int64
	size int64 // of the data; 0: there is a back pointer
}

func (r *blockRecord) length() int64 {
	if r.size == 0 {
		return recHeaderLen + backLen
	}
	return recHeaderLen + r.size
}

// A blockReader cuts the file into blocks.
type blockReader struct {
	e     *openDataFile
	end   int64
	visit CurrentVisit
	large sync.Mutex // one large record at a time is in memory

	mu     sync.Mutex
	taken  int64 // up to here workers have taken blocks
	walked int64 // and up to here records have been found
	found  sync.Cond
	failed bool
	pos    int64 // of what comes next: a transaction, a record or the second length
	txn    txnHeader
	tloc   int64 // of the transaction under way; 0: none
}

// visitBlocks is what a worker does.
func (r *blockReader) visitBlocks(ctx context.Context, worker int) error {
	var b block
	for r.take(&b) {
		err := context.Cause(ctx)
		if err == nil {
			err = r.read(&b, b.end+afterBlock)
		}
		if err = r.walk(&b, err); err != nil {
			return err
		}
		if err := r.work(ctx, worker, &b); err != nil {
			return err
		}
	}
	return nil
}

// take takes the next block, and reports whether there is one.
func (r *blockReader) take(b *block) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.at, b.end = r.taken, min(r.taken+blockLen, r.end)
	r.taken = b.end
	b.buf, b.records = b.buf[:0], b.records[:0]
	return b.at < b.end && !r.failed
}

// read continues what is there of a block up to a place in the file, or its end.
func (r *blockReader) read(b *block, to int64) error {
	have, need := len(b.buf), min(to, r.end)-b.at
	if int64(cap(b.buf)) < need {
		b.buf = append(make([]byte, 0, need), b.buf...)
	}
	b.buf = b.buf[:need]
	return readFull(r.e.file, b.buf[have:], b.at+int64(have))
}

// walk waits for its turn, and finds the records that begin in a block. Where the block could not be read nobody goes
// on.
func (r *blockReader) walk(b *block, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.found.Broadcast()
	for r.walked != b.at && !r.failed && err == nil {
		r.found.Wait() // for another worker to read the block before
	}
	if err == nil && !r.failed {
		err = r.records(b)
	}
	if err != nil {
		r.failed = true
		return err
	}
	if r.walked = b.end; r.taken == b.end && r.pos > b.end { // nobody has to read the rest of a large record
		r.walked, r.taken = r.pos, r.pos
	}
	if r.visit.Progress != nil && !r.failed {
		r.visit.Progress(r.walked, r.end)
	}
	return nil
}

// records goes over the records that begin in a block.
func (r *blockReader) records(b *block) error {
	for r.pos < b.end {
		before, rest := r.pos, b.buf[r.pos-b.at:]
		var err error
		switch {
		case r.tloc == 0:
			err = r.enter(rest)
		case r.pos == r.tloc+int64(r.txn.Length):
			err = r.leave(rest)
		default:
			err = r.record(b, rest)
		}
		if err != nil {
			return err
		}
		if r.pos == before {
			return r.e.corrupt(r.pos, "a whole transaction", fmt.Sprintf("%d bytes up to its end", r.end-r.pos))
		}
	}
	return nil
}

// record goes over the record at pos, unless the file ends in its header.
func (r *blockReader) record(b *block, rest []byte) error {
	if len(rest) < recHeaderLen {
		return nil
	}
	var h recHeader
	h.decode(rest)
	room := r.tloc + int64(r.txn.Length) - r.pos - recHeaderLen
	switch {
	case h.Tloc != r.tloc:
		return r.e.corrupt(r.pos+24, fmt.Sprintf("the offset %d of the record's transaction", r.tloc),
			fmt.Sprint(h.Tloc))
	case h.VLen != 0:
		return fmt.Errorf("%s: offset %d: %w", r.e.path, r.pos, ErrVersions)
	case room < 0 || h.PLen > uint64(room) || h.PLen == 0 && room < backLen:
		return r.e.corrupt(r.pos+plenAt, "data inside of the transaction", fmt.Sprint(h.PLen))
	}
	b.records = append(b.records, blockRecord{h.Oid, h.Tid, r.pos, int64(h.PLen)})
	r.pos += h.length()
	return nil
}

func (r *blockReader) enter(rest []byte) error {
	if len(rest) < txnHeaderLen {
		return nil
	}
	h := &r.txn
	h.decode(rest)
	if !h.Status.Known() || int64(h.Length) < h.headerLen() || int64(h.Length) > r.end-r.pos-lengthLen {
		return r.e.corrupt(r.pos, "a transaction", fmt.Sprintf("length %d, status %q", h.Length, byte(h.Status)))
	}
	r.tloc = r.pos
	r.pos += h.headerLen()
	return nil
}

func (r *blockReader) leave(rest []byte) error {
	if len(rest) < lengthLen {
		return nil
	}
	c := cursor{pos: r.tloc, txn: r.txn}
	if err := c.compare(&plain{path: r.e.path}, binary.BigEndian.Uint64(rest)); err != nil {
		return err
	}
	r.tloc = 0
	r.pos += lengthLen
	return nil
}

// work has the current records of a block visited.
func (r *blockReader) work(ctx context.Context, worker int, b *block) error {
	var cur CurrentRecord // one for all: what is visited is valid until the visit ends
	b.records = r.e.index.current(b.records)
	for i := range b.records {
		if i%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.one(worker, b, &b.records[i], &cur); err != nil {
			return err
		}
	}
	return nil
}

func (r *blockReader) one(worker int, b *block, rec *blockRecord, cur *CurrentRecord) error {
	*cur = CurrentRecord{Oid: rec.oid, Tid: rec.tid, Pos: rec.pos, Size: rec.length()}
	from := rec.pos - b.at + recHeaderLen
	to := from + rec.size
	if to > int64(len(b.buf)) && cur.Size <= longestInBlock {
		if err := r.read(b, b.at+to); err != nil {
			return err
		}
	}
	switch {
	case rec.size > largestVisited:
		cur.Err = fmt.Errorf("%d bytes are more than the %d that are read of a record", rec.size, largestVisited)
	case rec.size == 0 || to > int64(len(b.buf)):
		r.large.Lock()
		defer r.large.Unlock()
		_, cur.Data, cur.Err = r.e.revision(rec.oid, rec.pos, r.end)
	default:
		cur.Data = b.buf[from:to:to]
	}
	return r.visit.Visit(worker, cur)
}
