package filestorage

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A headerCursor goes from transaction to transaction, forwards by their length and backwards by the second one, and
// never looks at records. Each hop checks that both lengths agree. Where transactions are small it reads a window of
// them at a time, otherwise 31 bytes for each.
//
//	… length(8) │ tid length status … │ … │ length(8) │ tid …
//	   before   └ pos                                 └ behind()
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

// headerCursor returns a header cursor that stands at the end of what is committed.
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

// read goes to pos and takes what stands there as it is; less than a header is none.
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
		if err := p.win.move(max(pos+int64(n)-windowLen, magicLen)); err != nil {
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
	if err := p.load(left.behind()); err != nil {
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

// forwardTo goes on to the first transaction with a tid above after.
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
