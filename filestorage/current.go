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
	blockLen = 1 << 20
	// largestVisited is how large data may be to be visited: as much as a pack takes to be a record's pickles.
	largestVisited = 256 << 20
)

// Oids yields the oids of all objects that have a record, ascending, also of those that do not exist any more.
func (s *Storage) Oids() iter.Seq[zodb.Oid] {
	return func(yield func(zodb.Oid) bool) {
		for oid := range s.present().index.all() {
			if !yield(oid) {
				return
			}
		}
	}
}

// VisitCurrent reads the data file once, from the front to the end, and has its current records visited.
//
//	reader   │ block of whole records │ block │ …   headers are checked, nothing is copied
//	workers         └ those that the index has: Visit
//
// It sees what was committed when it began. On a storage that takes commits meanwhile, objects that these change may be
// left out: open the file once more, read-only.
func (s *Storage) VisitCurrent(ctx context.Context, v CurrentVisit) error {
	e := s.hold()
	defer e.release()
	v.Workers = max(v.Workers, 1)
	r := &blockReader{e: e, end: e.size(), visit: v}
	blocks := v.Workers + 2
	free, full := make(chan *block, blocks), make(chan *block, blocks)
	for range blocks {
		free <- &block{buf: make([]byte, min(blockLen, r.end))}
	}
	group, ctx := errgroup.WithContext(ctx)
	if v.Begin == nil {
		v.Begin = func() {}
	}
	group.Go(func() error {
		defer close(full)
		v.Begin()
		return r.read(ctx, free, full)
	})
	for worker := range v.Workers {
		group.Go(func() error {
			v.Begin()
			for b := range full {
				if err := r.work(ctx, worker, b); err != nil {
					return err
				}
				free <- b // there is room for all blocks
			}
			return nil
		})
	}
	return s.meets(group.Wait())
}

// A block is a part of the file with the whole records in it.
type block struct {
	buf     []byte
	at      int64
	records []blockRecord
}

// A blockRecord is where a record is. One that is larger than a block is read later.
type blockRecord struct {
	recHeader
	pos int64
}

// A blockReader cuts the file into blocks.
type blockReader struct {
	e     *openDataFile
	end   int64
	visit CurrentVisit
	pos   int64 // of what comes next: a transaction, a record or the second length
	txn   txnHeader
	tloc  int64 // of the transaction under way; 0: none
	large sync.Mutex
}

func (r *blockReader) read(ctx context.Context, free <-chan *block, full chan<- *block) error {
	for r.pos = min(magicLen, r.end); r.pos < r.end; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case b := <-free:
			if err := r.fill(b); err != nil {
				return err
			}
			full <- b // likewise
		}
		if r.visit.Progress != nil {
			r.visit.Progress(r.pos, r.end)
		}
	}
	return nil
}

// fill reads a block from pos on, and finds the records in it.
func (r *blockReader) fill(b *block) error {
	b.at, b.records = r.pos, b.records[:0]
	n := min(int64(cap(b.buf)), r.end-r.pos)
	b.buf = b.buf[:n]
	if err := readFull(r.e.file, b.buf, b.at); err != nil {
		return err
	}
	for {
		before := r.pos
		if err := r.step(b); err != nil {
			return err
		}
		if r.pos == before || r.pos >= b.at+n {
			break
		}
	}
	if r.pos == b.at {
		return r.e.corrupt(r.pos, "a whole transaction", fmt.Sprintf("%d bytes up to its end", r.end-r.pos))
	}
	return nil
}

// step goes over what is at pos, if it is in the block.
func (r *blockReader) step(b *block) error {
	rest := b.buf[r.pos-b.at:]
	switch {
	case r.tloc == 0:
		return r.enter(rest)
	case r.pos == r.tloc+int64(r.txn.Length):
		return r.leave(rest)
	}
	if len(rest) < recHeaderLen {
		return nil
	}
	rec := blockRecord{pos: r.pos}
	rec.decode(rest)
	room := r.tloc + int64(r.txn.Length) - r.pos - recHeaderLen
	switch {
	case rec.Tloc != r.tloc:
		return r.e.corrupt(r.pos+24, fmt.Sprintf("the offset %d of the record's transaction", r.tloc),
			fmt.Sprint(rec.Tloc))
	case rec.VLen != 0:
		return fmt.Errorf("%s: offset %d: %w", r.e.path, r.pos, ErrVersions)
	case room < 0 || rec.PLen > uint64(room) || rec.PLen == 0 && room < backLen:
		return r.e.corrupt(r.pos+plenAt, "data inside of the transaction", fmt.Sprint(rec.PLen))
	case rec.length() > int64(len(rest)) && rec.length() <= blockLen:
		return nil
	}
	b.records = append(b.records, rec)
	r.pos += rec.length()
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
	*cur = CurrentRecord{Oid: rec.Oid, Tid: rec.Tid, Pos: rec.pos, Size: rec.length()}
	from := rec.pos - b.at + recHeaderLen
	switch {
	case rec.PLen > largestVisited:
		cur.Err = fmt.Errorf("%d bytes are more than the %d that are read of a record", rec.PLen, largestVisited)
	case rec.PLen == 0 || from+int64(rec.PLen) > int64(len(b.buf)):
		r.large.Lock() // one at a time is in memory
		defer r.large.Unlock()
		_, cur.Data, cur.Err = r.e.revision(rec.Oid, rec.pos, r.end)
	default:
		cur.Data = b.buf[from : from+int64(rec.PLen) : from+int64(rec.PLen)]
	}
	return r.visit.Visit(worker, cur)
}
