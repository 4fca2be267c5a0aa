package filestorage

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// A headerCursor goes from transaction to transaction, forwards by their length and backwards by the second one, and
// never looks at records. Each hop checks that both lengths agree. Where transactions are small it reads a window of
// them at a time, otherwise 31 bytes for each.
//
//	… length(8) │ tid length status … │ … │ length(8) │ tid …
//	   before   └ pos                                 └ after()
type headerCursor struct {
	src *source
	win window // as far as the source was committed when the header cursor was made
	txnPosition
	buf [lengthLen + txnHeaderLen]byte
}

// A txnPosition is where a header cursor stands: a transaction, or the end.
type txnPosition struct {
	cursor        // without a header at the end
	before uint64 // second length in front of pos, 0 at the start of the file
}

// nearby is how far a hop may lead to be worth a window, for which a disk reads as much as for many such hops.
const nearby = 4 << 10

// headerCursor returns a header cursor that is at the end of what is committed.
func (s *source) headerCursor() (*headerCursor, error) {
	end, _ := s.get()
	p := &headerCursor{src: s, win: window{file: s.file, size: end}}
	return p, p.load(end)
}

func (p *headerCursor) atEnd() bool { return p.pos == p.win.size }

func (p *headerCursor) corrupt(pos int64, want, got string) error {
	return p.src.corrupt(pos, want, got)
}

// load goes to pos, where a transaction begins or the end is, and checks the transaction's header.
func (p *headerCursor) load(pos int64) error {
	if err := p.read(pos); err != nil || p.atEnd() {
		return err
	}
	return p.src.checkTxn(&p.txn, pos, p.win.size)
}

// read goes to pos and takes what is there as it is; less than a header is none.
func (p *headerCursor) read(pos int64) error {
	if pos != magicLen && pos < magicLen+txnHeaderLen+lengthLen {
		return p.src.corrupt(pos, "the end of a transaction", "no space for one before it")
	}
	from := max(pos-lengthLen, magicLen)
	to := min(pos+txnHeaderLen, p.win.size)
	b, err := p.bytes(from, int(to-from))
	if err != nil {
		return err
	}
	p.txnPosition = txnPosition{cursor: cursor{pos: pos}}
	if pos > magicLen {
		p.before, b = binary.BigEndian.Uint64(b), b[lengthLen:]
	}
	if len(b) >= txnHeaderLen {
		p.txn.decode(b)
	}
	return nil
}

// bytes reads n bytes at pos, for the next hop only.
func (p *headerCursor) bytes(pos int64, n int) ([]byte, error) {
	distance := pos - p.pos
	switch {
	case p.win.has(n, pos):
	case 0 <= distance && distance <= nearby:
		return p.win.view(pos, n)
	case -nearby <= distance && distance < 0:
		if err := p.win.move(max(pos+int64(n)-windowLen, magicLen)); err != nil && !p.win.has(n, pos) {
			return nil, readError(err)
		}
	}
	b := p.buf[:n]
	if err := p.win.peek(b, pos); err != nil {
		return nil, readError(err)
	}
	return b, nil
}

// next goes to the next transaction, or to the end, where it must not be.
func (p *headerCursor) next() error {
	left := p.cursor
	if err := p.load(left.after()); err != nil {
		return err
	}
	return left.compare(p, p.before)
}

// prev goes to the transaction before, which must exist.
func (p *headerCursor) prev() error {
	pos, length := p.pos, p.before
	room := uint64(pos - lengthLen - magicLen)
	if length < txnHeaderLen || length > room {
		return p.src.corrupt(pos-lengthLen,
			fmt.Sprintf("the length of a transaction, up to %d", room), fmt.Sprint(length))
	}
	start := pos - lengthLen - int64(length)
	if err := p.load(start); err != nil {
		return err
	}
	if p.txn.Length != length {
		return p.src.corrupt(start+8, fmt.Sprintf("the length %d found after the transaction", length),
			fmt.Sprint(p.txn.Length))
	}
	return nil
}

// forwardTo continues to the first transaction with a tid above after.
func (p *headerCursor) forwardTo(ctx context.Context, after zodb.Tid) error {
	for !p.atEnd() && p.txn.Tid <= after {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := p.next(); err != nil {
			return err
		}
	}
	return nil
}

// backTo goes back until the transaction before has a tid at or below after, at most steps transactions. It reports
// whether it got there, or to the start.
func (p *headerCursor) backTo(ctx context.Context, after zodb.Tid, steps int64) (bool, error) {
	for range steps {
		if p.pos == magicLen {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		here := p.txnPosition
		if err := p.prev(); err != nil {
			return false, err
		}
		if p.txn.Tid <= after {
			p.txnPosition = here
			return true, nil
		}
	}
	return false, nil
}

// A search by tid never reads the whole file. Tids rise along it, so any transaction whose place is known tells on
// which side of it the one that is looked for stands. The end is tried first: whoever resumes is rarely far behind.
// Then the index helps: its offsets lie all over the file, and each record names the place of its transaction. What is
// left between two such places is walked from the side that is nearer in time.
const (
	nearEnd = 2048 // transactions that are tried from the end before anything else
	samples = 4096 // parts of a file from each of which the index gives one record
)

// positionAfter returns the offset after the transaction with this tid, or that of seek when there is none.
func (s *source) positionAfter(ctx context.Context, tid zodb.Tid) (int64, error) {
	p, err := s.headerCursor()
	if err != nil || tid == 0 {
		return magicLen, err
	}
	found, err := p.exact(ctx, tid)
	if found {
		return p.after(), err
	}
	return p.pos, err
}

// SizeAt returns how long the file is up to its last transaction that is not later than tid. What a pack went over is
// shorter than it was.
func (s *Storage) SizeAt(ctx context.Context, tid zodb.Tid) (int64, error) {
	src := s.source()
	defer src.release() //nolint:errcheck // only reads
	return src.seek(ctx, tid)
}

// seek returns the offset of the first transaction with a tid above after, the end when there is none.
func (s *source) seek(ctx context.Context, after zodb.Tid) (int64, error) {
	p, err := s.headerCursor()
	if err != nil {
		return 0, err
	}
	err = p.seek(ctx, after)
	return p.pos, err
}

func (p *headerCursor) seek(ctx context.Context, after zodb.Tid) error {
	if found, err := p.backTo(ctx, after, nearEnd); found || err != nil {
		return err
	}
	upper := p.txnPosition // above after
	if err := p.load(magicLen); err != nil || p.txn.Tid > after {
		return err
	}
	lower := p.txnPosition // at or below after
	if p.src.index != nil {
		if err := p.narrow(ctx, after, &lower, &upper); err != nil {
			return err
		}
	}
	if after-lower.txn.Tid < upper.txn.Tid-after {
		p.txnPosition = lower
		return p.forwardTo(ctx, after)
	}
	p.txnPosition = upper
	_, err := p.backTo(ctx, after, math.MaxInt64)
	return err
}

// maxStray is how many transactions are tried from the end for one that is not where the order of tids has it.
const maxStray = 20_000

// exact goes to the transaction with this tid, the last one of equal ones, and reports whether there is one; otherwise
// it is where that would be. In files of clocks that were wrong, tids go down here and there: then a search by
// order can miss what is there, and transactions are tried one after the other, from the end.
func (p *headerCursor) exact(ctx context.Context, tid zodb.Tid) (bool, error) {
	if err := p.seek(ctx, tid); err != nil {
		return false, err
	}
	after := p.txnPosition
	if p.pos > magicLen {
		if err := p.prev(); err != nil {
			return false, err
		}
		if p.txn.Tid == tid {
			return true, nil
		}
	}
	if err := p.load(p.win.size); err != nil {
		return false, err
	}
	for steps := 0; steps < maxStray && p.pos > magicLen; steps++ {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if err := p.prev(); err != nil {
			return false, err
		}
		if p.txn.Tid == tid {
			return true, nil
		}
	}
	p.txnPosition = after
	return false, nil
}

// narrow moves lower and upper together by halves, over transactions that the index knows. The index is a hint here and
// may belong to another state of the file: a sample that the file does not confirm is left out.
func (p *headerCursor) narrow(ctx context.Context, after zodb.Tid, lower, upper *txnPosition) error {
	list := spread(p.src.index(), p.win.size)
	for len(list) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		mid := len(list) / 2
		switch confirmed := p.loadSample(list[mid]); {
		case !confirmed:
			list = slices.Delete(list, mid, mid+1)
		case p.pos <= lower.pos:
			list = list[mid+1:]
		case p.pos >= upper.pos:
			list = list[:mid]
		case p.txn.Tid <= after:
			*lower, list = p.txnPosition, list[mid+1:]
		default:
			*upper, list = p.txnPosition, list[:mid]
		}
	}
	return nil
}

// spread returns, by offset, one entry of the index from each of many equal parts of a file that ends at end.
func spread(x *index, end int64) []entry {
	if x == nil {
		return nil
	}
	width := end/samples + 1
	first := make([]entry, samples)
	for oid, pos := range x.all() {
		if pos < end && (first[pos/width].pos == 0 || pos < first[pos/width].pos) {
			first[pos/width] = entry{oid, pos}
		}
	}
	return slices.DeleteFunc(first, func(e entry) bool { return e.pos == 0 })
}

// loadSample goes to the transaction of a record, and reports whether record and transaction are there.
func (p *headerCursor) loadSample(e entry) bool {
	var b [recHeaderLen]byte
	if e.pos+recHeaderLen > p.win.size || p.win.peek(b[:], e.pos) != nil {
		return false
	}
	var r recHeader
	r.decode(b[:])
	if r.Oid != e.oid || r.Tloc < magicLen || r.Tloc > e.pos-txnHeaderLen || p.load(r.Tloc) != nil {
		return false
	}
	if e.pos < p.first() || e.pos+recHeaderLen > p.second() {
		return false
	}
	whole, err := p.whole(&plain{file: p.win.file, path: p.src.path})
	return whole && err == nil
}

// Found is what a storage knows about a tid.
type Found struct {
	Pos    int64       // offset of the transaction; where it would be when it is absent
	Status zodb.Status // ' ', 'p' or 'u'
	Digest zodb.Digest

	// The transactions around the place of one that is absent; zero where there is none.
	Before, After Neighbour
}

// A Neighbour is a transaction next to another.
type Neighbour struct {
	Tid    zodb.Tid
	Status zodb.Status
}

// find looks for the transaction with this tid and reads it. When it is absent the error wraps zodb.ErrNoTid, and Pos,
// Before and After are set.
func (s *source) find(ctx context.Context, tid zodb.Tid) (found Found, err error) {
	p, err := s.headerCursor()
	if err != nil {
		return Found{}, err
	}
	there, err := p.exact(ctx, tid)
	if err != nil {
		return Found{}, err
	}
	found.Pos = p.pos
	if !there {
		if found.Before, found.After, err = p.neighbours(); err != nil {
			return Found{}, err
		}
		return found, fmt.Errorf("find tid %v in %s: %w", tid, s.path, zodb.ErrNoTid)
	}
	found.Status = p.txn.Status
	found.Digest, err = s.digest(p.pos, p.win.size)
	return found, err
}

// neighbours returns the transactions before and at the header cursor.
func (p *headerCursor) neighbours() (before, after Neighbour, err error) {
	after = Neighbour{p.txn.Tid, p.txn.Status}
	if p.pos > magicLen {
		err = p.prev()
		before = Neighbour{p.txn.Tid, p.txn.Status}
	}
	return before, after, err
}

func (s *source) digest(pos, end int64) (zodb.Digest, error) {
	blobless := *s
	blobless.openBlob = nil
	t := txnReader{src: &blobless}
	if err := t.open(pos, end); err != nil {
		return zodb.Digest{}, err
	}
	return zodb.DigestOf(&t)
}

// count returns how many transactions have tids above after, and the tid of the last of them; after when there is none.
func (s *source) count(ctx context.Context, after zodb.Tid) (n int64, upTo zodb.Tid, err error) {
	p, err := s.headerCursor()
	if err == nil {
		err = p.seek(ctx, after)
	}
	for upTo = after; err == nil && !p.atEnd(); n++ {
		if ctx.Err() != nil {
			return 0, 0, context.Cause(ctx)
		}
		upTo = p.txn.Tid
		err = p.next()
	}
	if err != nil {
		return 0, 0, err
	}
	return n, upTo, nil
}

func (p *headerCursor) anchor(ctx context.Context) (tid zodb.Tid, after []Neighbour, err error) {
	var lowest zodb.Tid
	for len(after) <= maxStray {
		if p.pos == magicLen {
			slices.Reverse(after)
			return 0, after, nil
		}
		if err := context.Cause(ctx); err != nil {
			return 0, nil, err
		}
		if err := p.prev(); err != nil {
			return 0, nil, err
		}
		here := Neighbour{p.txn.Tid, p.txn.Status}
		if len(after) > 0 && here.Tid < lowest {
			slices.Reverse(after)
			return here.Tid, after, nil
		}
		if len(after) == 0 || here.Tid < lowest {
			lowest = here.Tid
		}
		after = append(after, here)
	}
	return 0, nil, fmt.Errorf("no tid of the last %d transactions of %s is below all later ones: %w", maxStray,
		p.src.path,
		zodb.ErrNoTid)
}
