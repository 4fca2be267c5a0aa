package filestorage

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// findEnd puts the walk to a place up to which the file is finished, and notes the transaction in front of it. It tries
// the end of the file, the place before a last transaction that is whole but not finished, and the end as the saved
// index knows it; from there transactions are taken one by one, as they are from the start when nothing else is left.
func (g *dataFile) findEnd(ctx context.Context, saved func() int64) error {
	p, size := &g.walk, g.walk.win.size
	places := []func() int64{
		func() int64 { return size },
		func() int64 { return p.voted(size) },
		saved,
	}
	for _, place := range places {
		pos := place()
		if pos <= magicLen || pos > size {
			continue
		}
		if err := p.confirm(ctx, pos); err == nil {
			return g.noteLast()
		} else if corrupt := (*zodb.CorruptError)(nil); !errors.As(err, &corrupt) {
			return err
		}
	}
	return p.read(magicLen)
}

// noteLast notes the transaction in front of the walk as taken.
func (g *dataFile) noteLast() error {
	p, here := &g.walk, g.walk.txnPosition
	if err := p.prev(); err != nil {
		return err
	}
	g.last = lastTransaction{p.pos, p.txn.Tid, p.txn.Length}
	p.txnPosition = here
	return nil
}

// voted returns where the last transaction of the file begins when it is whole but not finished, 0 otherwise.
func (p *headerCursor) voted(size int64) int64 {
	if p.read(size) != nil || p.before > uint64(size-lengthLen-magicLen) {
		return 0
	}
	length := p.before
	if p.read(size-lengthLen-int64(length)) != nil ||
		p.txn.Length != length || p.txn.Status != zodb.StatusCheckpoint {
		return 0
	}
	return p.pos
}

// confirm goes to pos when a chain of finished transactions leads there; a *zodb.CorruptError says that none does. A
// chain may also stand in the data of a record, such as a copy of a Data.fs; but a record of this file names the offset
// of its transaction. The chain is followed for as many transactions as one group commit may have.
func (p *headerCursor) confirm(ctx context.Context, pos int64) error {
	if err := p.read(pos); err != nil {
		return err
	}
	here, own := p.txnPosition, false
	for range nearEnd {
		if p.pos == magicLen {
			own = true
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := p.prev(); err != nil {
			return err
		}
		if !own && p.txn.Length > uint64(p.txn.headerLen()) {
			if err := p.checkFirstRecord(); err != nil {
				return err
			}
			own = true
		}
	}
	if !own {
		return p.src.corrupt(p.pos, "a transaction with records", fmt.Sprintf("%d without", nearEnd))
	}
	p.txnPosition = here
	return nil
}

// checkFirstRecord checks that the first record of the transaction is one of this file.
func (p *headerCursor) checkFirstRecord() error {
	pos := p.first()
	if room := p.second() - pos; room < recHeaderLen {
		return p.src.corrupt(pos, "a data record", fmt.Sprintf("%d bytes", room))
	}
	var b [recHeaderLen]byte
	if err := p.win.peek(b[:], pos); err != nil {
		return readError(err)
	}
	var r recHeader
	r.decode(b[:])
	if r.Tloc != p.pos {
		return p.src.corrupt(pos+24, fmt.Sprintf("the offset %d of its transaction", p.pos), fmt.Sprint(r.Tloc))
	}
	return nil
}
