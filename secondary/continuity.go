package secondary

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/zrsd/zrsd/zodb"
)

// A standing is where this storage ends, and from where the stream is asked for.
type standing struct {
	tid    zodb.Tid // 0: it is empty
	status zodb.Status
	before zodb.Tid   // the stream is asked for from after it
	expect []zodb.Tid // what the stream has to begin with, up to tid; empty: anything
	proved bool       // a connection a moment ago began with it, and it is large
}

// standing looks up the last two transactions, and more where tids go down. Those that were marked undone are streamed
// by nobody; where the last one is, the stream begins after it, without a proof.
func (s *Secondary) standing(ctx context.Context) (standing, error) {
	last := s.st.LastTid()
	if last == 0 {
		return standing{}, nil
	}
	before, after, err := s.st.Anchor(ctx)
	if errors.Is(err, zodb.ErrNoTid) {
		return standing{}, unfit("%v: %s", err, noResume)
	}
	if err != nil {
		return standing{}, &localError{err}
	}
	st := standing{tid: last, before: before}
	for _, txn := range after {
		st.status = txn.Status
		if txn.Status != zodb.StatusUndone {
			st.expect = append(st.expect, txn.Tid)
		}
	}
	if len(st.expect) == 0 {
		st.before = last
	}
	return st, nil
}

// noResume is what to do where a stream of zrs2 cannot be resumed.
const noResume = "the tids of this database go down in places, so the protocol of zc.zrs, which resumes at a tid, " +
	"cannot name one place there; give this secondary an empty Data.fs, or a copy of the primary's with its " +
	"blobs, or follow a zrsd, in its own protocol"

// proves reports whether the stream is to begin with our own last transaction.
func (st *standing) proves() bool { return len(st.expect) > 0 && !st.proved }

// A continuity decoder yields what comes after our last transaction, and links every record to the one before it, as
// ZODB's own restore does: zrs2 does not say whether the original is linked.
//
// A primary that speaks zrs2 takes any start for granted, so nothing in the protocol keeps a secondary from growing on
// top of another history. So the stream is asked for from the transaction before our last one, and must then begin with
// that: the same tid, and the same content unless a pack has touched one of the two. What a pack took away from the
// primary is believed to be gone if what follows instead was written by that pack. Of a large transaction the beginning
// is compared, and the stream is asked for again from after it.
type continuity struct {
	decoder
	l      *oldLink
	proved bool
}

func (p *continuity) Next() (zodb.Transaction, error) {
	if !p.proved && len(p.l.last.expect) > 1 {
		if err := p.pass(); err != nil {
			return nil, err
		}
	}
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

// pass reads what this storage has already, where tids go down at its end, and compares it. What is new comes after
// it, whatever tid it has.
func (p *continuity) pass() error {
	it, err := p.l.s.st.IterateRecords(p.l.last.before, false)
	if err != nil {
		return &localError{err}
	}
	defer closeQuietly(it) // read only
	for range p.l.last.expect {
		theirs, err := p.decoder.Next()
		if err != nil {
			return err
		}
		ours, err := nextStreamed(it)
		if err != nil {
			return &localError{err}
		}
		var text string
		tid := ours.Meta().Tid
		if theirs.Meta().Tid != tid {
			text = fmt.Sprintf("the primary sends %v instead", theirs.Meta().Tid)
		} else if text, err = differ(ours, theirs); err != nil {
			return err
		}
		if err := readOut(theirs, math.MaxInt64); err != nil { // what is damaged proves nothing
			return err
		}
		if text != "" {
			return unfit("not resumed at transaction %v: %s: %s", tid, text, noResume)
		}
	}
	p.proved = true
	p.l.joined()
	return p.l.s.needsIdentity()
}

// nextStreamed returns the next transaction that was not marked undone.
func nextStreamed(it zodb.Iterator) (zodb.Transaction, error) {
	for {
		txn, err := it.Next(context.Background())
		if err != nil || txn.Meta().Status != zodb.StatusUndone {
			return txn, err
		}
	}
}

// joined notes that the stream continues our history.
func (l *oldLink) joined() {
	l.s.track.joined(l.version, l.last.tid)
	l.s.log.Info("following a primary with the protocol of zc.zrs", "protocol", l.version, "last_tid", l.last.tid)
}

// prove judges a transaction that comes before anything new does, or instead of our last one.
func (p *continuity) prove(txn zodb.Transaction) error {
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
	if text != "" && meta.Tid != last.tid {
		if _, err := p.l.s.st.Find(context.Background(), meta.Tid); err == nil { // both have it, somewhere else
			return unfit("not resumed at transaction %v: the primary begins with %v: %s", last.tid, meta.Tid, noResume)
		}
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
