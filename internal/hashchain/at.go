package hashchain

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// An UnknownError says that a value of a chain is not known; histories may be equal or not.
type UnknownError struct {
	base, tid zodb.Tid
	Why       string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("the history between %v and %v is not known here: %s", e.base, e.tid, e.Why)
}

// A recent is a mark that was computed on demand. There are at most maxRecent: those that a bisection comes back to,
// and how far a reading came whose time was over.
type recent struct {
	base       zodb.Tid
	checkpoint checkpoint
}

const maxRecent = 32

// nearLimit is how many bytes may have to be read for Near.
const nearLimit = 2 * strideBytes

// Span returns where the chain begins, and the last transaction of the storage. The error is an *UnknownError while
// the base has still to be found.
func (l *Local) Span(context.Context) (Span, error) {
	last := l.src.LastTid()
	st := l.Status()
	if !st.Known {
		return Span{}, &UnknownError{0, last, "its file is still being read for the first time; try again later"}
	}
	return Span{Base: st.Base, Last: last}, nil
}

// At returns the point after the last transaction at or before tid, of the chain that begins after base. Where that
// has to be computed by reading, one caller does so at a time; what it found out until ctx ends is kept for the next
// attempt. An *UnknownError says that the file does not have it.
func (l *Local) At(ctx context.Context, base, tid zodb.Tid) (Point, error) {
	if tid < base {
		return Point{}, &UnknownError{base, tid, "the chain begins later"}
	}
	if m, exact := l.nearest(base, tid); exact {
		return point(m), nil
	}
	select {
	case l.scanning <- struct{}{}:
		defer func() { <-l.scanning }()
	case <-ctx.Done():
		return Point{}, context.Cause(ctx)
	}
	from, exact := l.nearest(base, tid)
	if exact {
		return point(from), nil
	}
	to, err := l.scan(ctx, base, from, tid)
	if to != from {
		l.remember(base, to)
	}
	if err != nil {
		return Point{}, err
	}
	return point(to), nil
}

// Near returns the base of the chain and its point at tid, if not much has to be read for it.
func (l *Local) Near(ctx context.Context, tid zodb.Tid) (base zodb.Tid, at Point, ok bool) {
	st := l.Status()
	if !st.Known || tid < st.Base || tid > st.Head.Tid && st.Behind > nearLimit {
		return 0, Point{}, false
	}
	at, err := l.At(ctx, st.Base, tid)
	if err != nil {
		l.log.Debug("the hash chain is not known there", "tid", tid, "error", err)
	}
	return st.Base, at, err == nil && at.Tid == tid
}

// nearest returns the last mark at or before tid that is known of the chain from base, and whether it is the one after
// the last transaction at or before tid.
func (l *Local) nearest(base, tid zodb.Tid) (best checkpoint, exact bool) {
	last := l.src.LastTid() // before the head is looked at: it can only become newer
	l.mu.Lock()
	defer l.mu.Unlock()
	best = checkpoint{Tid: base}
	consider := func(m checkpoint) {
		if m.Tid <= tid && m.Tid >= best.Tid {
			best = m
		}
	}
	for _, r := range l.recent {
		if r.base == base {
			consider(r.checkpoint)
		}
	}
	if l.chain.based && l.chain.base == base {
		for _, m := range l.chain.checkpoints {
			consider(m)
		}
		consider(l.chain.head)
	}
	return best, best.Tid == tid || best.Count > 0 && best.Tid == last
}

func (l *Local) remember(base zodb.Tid, m checkpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent = append(l.recent, recent{base, m})
	l.recent = l.recent[max(len(l.recent)-maxRecent, 0):]
}

// scan reads from after one mark to the last transaction at or before tid. What it returns is right also with an
// error. The place where it begins is looked at before and after, because a pack may come between.
func (l *Local) scan(ctx context.Context, base zodb.Tid, from checkpoint, tid zodb.Tid) (to checkpoint, err error) {
	check := func() error {
		why, err := l.stands(ctx, from)
		if why != "" {
			err = &UnknownError{base, tid, why}
		}
		return err
	}
	if err := check(); err != nil {
		return from, err
	}
	to, err = l.read(ctx, base, from, tid)
	if gone := check(); gone != nil {
		return from, gone
	}
	return to, err
}

func (l *Local) read(ctx context.Context, base zodb.Tid, from checkpoint, tid zodb.Tid) (to checkpoint, err error) {
	it, err := l.src.Iterate(from.Tid, false)
	if err != nil {
		return from, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	to = from
	for txn, err := range zodb.Transactions(ctx, it) {
		if err != nil {
			return to, err
		}
		meta := txn.Meta()
		switch {
		case meta.Tid > tid:
			return to, nil
		case meta.Status == zodb.StatusPacked:
			return to, &UnknownError{base, tid, "it has been packed since"}
		case meta.Status == zodb.StatusUndone:
			continue
		}
		here := meta.Tid
		digest, err := zodb.DigestOf(txn)
		if err != nil {
			return to, err
		}
		to = next(to, here, digest)
	}
	return to, nil
}

// stands returns why the file cannot be read on from m, nothing when it can: the transaction is there, no pack went
// over it, and it is the same.
func (l *Local) stands(ctx context.Context, m checkpoint) (why string, err error) {
	if m.Tid == 0 {
		return "", nil
	}
	found, err := l.src.Find(ctx, m.Tid)
	switch {
	case errors.Is(err, zodb.ErrNoTid):
		return fmt.Sprintf("transaction %v is not in the file", m.Tid), nil
	case err != nil:
		return "", err
	case found.Status == zodb.StatusPacked:
		return fmt.Sprintf("transaction %v has been packed", m.Tid), nil
	case m.Count > 0 && found.Digest != m.Digest:
		return fmt.Sprintf("transaction %v has another content", m.Tid), nil
	}
	return "", nil
}
