package filestorage

import (
	"context"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

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
