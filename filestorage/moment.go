package filestorage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// A Moment is the state of a storage after one of its transactions, as those who read as of then see it.
//
//	Data.fs   1 │ a b │   2 │ b c │   3 │ a d │      Moment of 2: Size ends here
//	                              ▲                   a is the record of 1: that of 3 leads there by its prev
//
// No copy is needed: ReadBefore finds the revision of then from the current one, back by prev.
type Moment struct {
	Tid  zodb.Tid // of its last transaction; 0: there was none
	Size int64    // of the data file then
	Len  int      // how many oids there were
}

// A MomentPackedError says that a pack has removed what was current at a moment.
type MomentPackedError struct {
	Path   string
	At     zodb.Tid // the moment
	Packed zodb.Tid // of the first transaction after it that a pack has written
}

func (e *MomentPackedError) Error() string {
	return fmt.Sprintf("%s was packed to transaction %v (%v) or later: what was there at %v (%v) is no longer in the "+
		"file; choose a later moment, or restore a backup of before the pack", e.Path, e.Packed,
		e.Packed.Time().UTC().Format("2006-01-02 15:04:05Z"), e.At, e.At.Time().UTC().Format("2006-01-02 15:04:05Z"))
}

// MomentAt returns the state after the last transaction whose tid is not above tid. A *MomentPackedError says that this
// is not in the file any more. It reads the headers of what comes later.
func (s *Storage) MomentAt(ctx context.Context, tid zodb.Tid) (Moment, error) {
	src := s.sourceOf(s.hold(), nil)
	m, err := s.momentIn(ctx, src, tid)
	if err = errors.Join(s.meets(err), src.release()); err != nil {
		return Moment{}, fmt.Errorf("find the state of %s at %v: %w", s.path, tid, err)
	}
	return m, nil
}

func (s *Storage) momentIn(ctx context.Context, src *source, tid zodb.Tid) (m Moment, err error) {
	p, err := src.headerCursor()
	if err != nil {
		return m, err
	}
	if err := p.seek(ctx, tid); err != nil {
		return m, err
	}
	m.Size, m.Len = p.pos, src.index().len()
	if err := s.unpacked(p, tid); err != nil {
		return m, err
	}
	for p.pos > magicLen && m.Tid == 0 {
		if err := p.prev(); err != nil {
			return m, err
		}
		if p.txn.Status != zodb.StatusUndone {
			m.Tid = p.txn.Tid
		}
	}
	later, err := src.created(ctx, m.Size, p.win.size)
	m.Len -= later
	return m, err
}

// unpacked refuses a moment where the transaction after it, at which p is, was written by a pack.
func (s *Storage) unpacked(p *headerCursor, tid zodb.Tid) error {
	if !p.atEnd() && p.txn.Status == zodb.StatusPacked {
		return &MomentPackedError{Path: s.path, At: tid, Packed: p.txn.Tid}
	}
	return nil
}

// created counts the objects whose first record is at pos or later, before end.
func (s *source) created(ctx context.Context, pos, end int64) (n int, err error) {
	e := &openDataFile{path: s.path, file: s.file, commitPoint: s.commitPoint}
	for pos < end {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		var b [txnHeaderLen]byte
		if err := readFull(s.file, b[:], pos); err != nil {
			return 0, err
		}
		var h txnHeader
		h.decode(b[:])
		if err := s.checkTxn(&h, pos, end); err != nil {
			return 0, err
		}
		fresh := make(map[zodb.Oid]struct{})
		err := e.eachRecord(&h, pos, func(r *recHeader, _ int64) error {
			if r.Prev == 0 && h.Status != zodb.StatusUndone {
				fresh[r.Oid] = struct{}{}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		n += len(fresh)
		pos += int64(h.Length) + lengthLen
	}
	return n, nil
}

// NextPack returns what waits until a pack has put another file in place of the one that is there now. It returns nil
// then, and otherwise the error of its context or of a closed storage.
func (s *Storage) NextPack() (await func(ctx context.Context) error) {
	now := s.present().commitPoint
	return func(ctx context.Context) error {
		select {
		case <-now.over:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := now.ended(); !errors.Is(err, errReplaced) {
			return err
		}
		return nil
	}
}

// InvalidationsUpTo is LastInvalidations as of the moment whose last transaction is tid.
func (s *Storage) InvalidationsUpTo(ctx context.Context, tid zodb.Tid, n int) ([]Invalidation, error) {
	e := s.hold()
	src := s.sourceOf(e, nil)
	defer src.release() //nolint:errcheck // nothing is written
	pos, err := src.seek(ctx, tid)
	if err != nil {
		return nil, err
	}
	return e.invalidationsBefore(pos, n)
}

// ChangesBetween returns the objects that the transactions after one tid, up to another, have written, each once, and
// the tid of the first of these; 0: there are none. More than most objects are not returned: ok is false.
func (s *Storage) ChangesBetween(ctx context.Context, after, upTo zodb.Tid, most int) (
	first zodb.Tid, oids []zodb.Oid, ok bool, err error,
) {
	it, err := s.IterateRecords(after, false)
	if err != nil {
		return 0, nil, false, err
	}
	defer it.Close() //nolint:errcheck // nothing is written
	seen := make(map[zodb.Oid]struct{})
	for txn, err := range zodb.Transactions(ctx, it) {
		if err != nil {
			return 0, nil, false, err
		}
		meta := txn.Meta()
		if meta.Tid > upTo {
			break
		}
		if meta.Status == zodb.StatusUndone {
			continue
		}
		if first == 0 {
			first = meta.Tid
		}
		for rec, err := range zodb.Records(txn) {
			if err != nil {
				return 0, nil, false, err
			}
			if seen[rec.Oid] = struct{}{}; len(seen) > most {
				return first, nil, false, nil
			}
		}
	}
	for oid := range seen {
		oids = append(oids, oid)
	}
	slices.Sort(oids)
	return first, oids, true, nil
}
