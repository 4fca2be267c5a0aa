package secondary

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/zrsd/zrsd/zodb"
)

// A standing is where this storage ends, and the transaction before that.
type standing struct {
	tid    zodb.Tid // 0: it is empty
	status zodb.Status
	before zodb.Tid // 0: there is none
	proved bool     // a connection a moment ago began with it, and it is large
}

// standing looks up the last two transactions. One that was marked undone is streamed by nobody, and then the stream
// begins behind it, without a proof.
func (s *Secondary) standing(ctx context.Context) (standing, error) {
	last := s.st.LastTid()
	if last == 0 {
		return standing{}, nil
	}
	st := standing{tid: last}
	found, err := s.st.Find(ctx, last-1)
	switch {
	case errors.Is(err, zodb.ErrNoTid): // nearly always
		st.before, st.status = found.Before.Tid, found.After.Status
	case err == nil:
		st.before = last - 1
		found, err = s.st.Find(ctx, last)
		st.status = found.Status
		if err != nil {
			return standing{}, &localError{err}
		}
	default:
		return standing{}, &localError{err}
	}
	if st.status == zodb.StatusUndone {
		st.before = last
	}
	return st, nil
}

// proves reports whether the stream is to begin with our own last transaction.
func (st *standing) proves() bool { return st.before < st.tid }

// A proving decoder yields what comes behind our last transaction, and links every record to the one before it, as
// ZODB's own restore does: zrs2 does not say whether the original is linked.
//
// A primary that speaks zrs2 takes any start for granted, so nothing in the protocol keeps a secondary from growing on
// top of another history. So the stream is asked for from the transaction before our last one, and must then begin with
// that: the same tid, and the same content unless a pack has touched one of the two. What a pack took away from the
// primary is believed to be gone if what follows instead was written by that pack. Of a large transaction the beginning
// is compared, and the stream is asked for again from behind it.
type proving struct {
	decoder
	l      *oldLink
	proved bool
}

func (p *proving) Next() (zodb.Transaction, error) {
	for !p.proved {
		txn, err := p.decoder.Next()
		if err != nil {
			return nil, err
		}
		theirs := txn.Meta().Tid
		p.proved = theirs >= p.l.last.tid
		if err := p.prove(txn); err != nil {
			return nil, err
		}
		if !p.proved {
			continue
		}
		p.l.joined()
		if theirs > p.l.last.tid {
			return linked{txn}, nil
		}
		if err := p.l.s.needsIdentity(); err != nil {
			return nil, err
		}
	}
	txn, err := p.decoder.Next()
	if err != nil {
		return nil, err
	}
	return linked{txn}, nil
}

// joined notes that the stream continues our history.
func (l *oldLink) joined() {
	l.s.track.joined(l.version, l.last.tid)
	l.s.log.Info("following a primary in the protocol of zc.zrs", "protocol", l.version, "last", l.last.tid)
}

// prove judges a transaction that comes before anything new does, or instead of our last one.
func (p *proving) prove(txn zodb.Transaction) error {
	last, meta := p.l.last, txn.Meta()
	packed := meta.Status == zodb.StatusPacked
	var text string
	switch {
	case meta.Tid > last.tid && (!last.proves() || packed):
		return nil
	case meta.Tid > last.tid:
		text = fmt.Sprintf("the primary does not have it, but has %v instead", meta.Tid)
	case meta.Tid < last.tid && last.status == zodb.StatusPacked:
	case meta.Tid < last.tid:
		text = fmt.Sprintf("before it the primary has %v, and this secondary has not", meta.Tid)
	case packed, last.status == zodb.StatusPacked:
	default:
		var err error
		if text, err = p.l.s.differs(txn); err != nil {
			return err
		}
	}
	limit := int64(math.MaxInt64) // what is damaged proves nothing
	if meta.Tid == last.tid && text == "" {
		limit = maxProof
	}
	if err := readOut(txn, limit); err != nil {
		return err
	}
	if text != "" {
		return unfit("diverged at transaction %v (%s): %s; the histories differ there or before: keep a copy of this "+
			"secondary's Data.fs if it may hold transactions that matter, then give it an empty one to be filled from "+
			"the primary", last.tid, last.tid.Time().UTC().Format("2006-01-02 15:04:05.000 UTC"), text)
	}
	return nil
}

// linked transactions have a predecessor for each record that can have one.
type linked struct{ zodb.Transaction }

func (t linked) NextRecord() (*zodb.Record, error) {
	rec, err := t.Transaction.NextRecord()
	if err != nil {
		return nil, err
	}
	out := *rec
	out.HasPrev = true
	return &out, nil
}
