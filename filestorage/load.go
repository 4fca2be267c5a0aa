package filestorage

import (
	"bytes"
	"io"
	"math"

	"github.com/zrsd/zrsd/zodb"
)

// A Revision is one state of an object and the time it was current.
type Revision struct {
	Data []byte
	Tid  zodb.Tid // the transaction that wrote it
	Next zodb.Tid // the one that wrote the next revision, 0 when there is none
}

// Load returns the current data of an object and the tid that wrote them. Unknown, deleted, creation undone:
// *zodb.POSKeyError.
func (s *Storage) Load(oid zodb.Oid) (data []byte, tid zodb.Tid, err error) {
	e, pos, end, ok := s.current(oid)
	defer e.release()
	if !ok {
		return nil, 0, &zodb.POSKeyError{Oid: oid}
	}
	tid, data, err = e.revision(oid, pos, end)
	if err == nil && data == nil {
		err = &zodb.POSKeyError{Oid: oid}
	}
	return data, tid, s.meets(err)
}

// LoadBefore returns the newest revision with a tid below the given one, nil when all are newer or were packed away.
// *zodb.POSKeyError when the object is unknown or that revision has no data.
func (s *Storage) LoadBefore(oid zodb.Oid, tid zodb.Tid) (*Revision, error) {
	head := heads.Get().(*[headLen]byte)
	defer heads.Put(head)
	rev, err := s.ReadBefore(head[:], oid, tid)
	if err != nil || rev.Tid == 0 {
		return nil, err
	}
	if len(rev.Data) <= headLen {
		rev.Data = bytes.Clone(rev.Data) // it may be in head
	}
	return &rev, nil
}

// MinRead is the size from which on a buffer is good for ReadBefore.
const MinRead = recHeaderLen + backLen

// ReadBefore is LoadBefore for those who load often: the data are in buf, of MinRead bytes at least, if their record
// fits there, and valid as long as buf is left alone. A revision with tid 0 says that all are newer or packed away.
func (s *Storage) ReadBefore(buf []byte, oid zodb.Oid, tid zodb.Tid) (Revision, error) {
	rev, err := s.readBefore(buf, oid, tid)
	return rev, s.meets(err)
}

func (s *Storage) readBefore(buf []byte, oid zodb.Oid, tid zodb.Tid) (rev Revision, err error) {
	e, pos, end, ok := s.current(oid)
	defer e.release()
	if !ok {
		return rev, &zodb.POSKeyError{Oid: oid}
	}
	r, data, err := e.fetchInto(buf, oid, pos, end) // most want the current one
	for err == nil && r.Tid >= tid {
		rev.Next = r.Tid
		if r, ok, err = e.older(r, end); err != nil || !ok {
			return Revision{}, err
		}
		if r.Tid < tid {
			r, data, err = e.fetchInto(buf, oid, r.pos, end)
		}
	}
	rev.Tid = r.Tid
	for err == nil && data == nil && r.back != 0 {
		r, data, err = e.fetchInto(buf, oid, r.back, end)
	}
	if err == nil && data == nil {
		err = &zodb.POSKeyError{Oid: oid, Tid: rev.Tid}
	}
	rev.Data = data
	return rev, err
}

// LoadSerial returns the data of exactly the revision that tid wrote; *zodb.POSKeyError when there is none, or it has
// no data.
func (s *Storage) LoadSerial(oid zodb.Oid, tid zodb.Tid) ([]byte, error) {
	return s.loadSerial(oid, tid, math.MaxInt64)
}

// LoadRecent is LoadSerial for who holds a lock: it looks at the last revisions only, MaxRecent at most.
func (s *Storage) LoadRecent(oid zodb.Oid, tid zodb.Tid) ([]byte, error) {
	return s.loadSerial(oid, tid, MaxRecent)
}

// MaxRecent is how many revisions LoadRecent looks at.
const MaxRecent = 200

func (s *Storage) loadSerial(oid zodb.Oid, tid zodb.Tid, most int64) ([]byte, error) {
	var found []byte
	older := 0
	err := s.history(oid, func(e *openDataFile, r record, end int64) (more bool, err error) {
		if most--; most < 0 {
			return false, nil
		}
		if r.Tid < tid { // tids may go down here and there
			older++
		}
		if r.Tid != tid {
			return older <= maxOlder, nil
		}
		_, found, err = e.revision(oid, r.pos, end)
		return false, err
	})
	if err == nil && found == nil {
		err = &zodb.POSKeyError{Oid: oid, Tid: tid}
	}
	return found, err
}

// OffsetOf returns where in the Data.fs the record of the revision is that tid wrote; *zodb.POSKeyError when there is
// none.
func (s *Storage) OffsetOf(oid zodb.Oid, tid zodb.Tid) (pos int64, err error) {
	err = s.exactly(oid, tid, func(_ *openDataFile, r record, _ int64) error {
		pos = r.pos
		return nil
	})
	return pos, err
}

// GetTid returns the tid of the current revision; *zodb.POSKeyError when the object is unknown or deleted.
func (s *Storage) GetTid(oid zodb.Oid) (zodb.Tid, error) {
	e, pos, end, ok := s.current(oid)
	defer e.release()
	if !ok {
		return 0, &zodb.POSKeyError{Oid: oid}
	}
	tid, err := e.tidAt(oid, pos, end)
	return tid, s.meets(err)
}

// tidAt is GetTid for the record at pos.
func (e *openDataFile) tidAt(oid zodb.Oid, pos, end int64) (zodb.Tid, error) {
	r, err := e.record(oid, pos, end)
	if err == nil && r.PLen == 0 && r.back == 0 {
		err = &zodb.POSKeyError{Oid: oid}
	}
	return r.Tid, err
}

// RecordNext returns the current revision of the first object whose oid is not below from (nil: of all), and the oid
// that follows it, nil at the end. Without such an object it returns io.EOF; for a deleted one *zodb.POSKeyError, with
// oid and next all the same.
func (s *Storage) RecordNext(from *zodb.Oid) (oid zodb.Oid, tid zodb.Tid, data []byte, next *zodb.Oid, err error) {
	if from == nil {
		from = new(zodb.Oid)
	}
	x := s.present().index
	oid, _, ok := x.next(*from)
	if !ok {
		return 0, 0, nil, nil, io.EOF
	}
	if oid < math.MaxUint64 {
		if after, _, ok := x.next(oid + 1); ok {
			next = &after
		}
	}
	data, tid, err = s.Load(oid)
	return oid, tid, data, next, err
}

// NextOid returns the first oid that is not below from, of a deleted object too; ok is false where there is none.
func (s *Storage) NextOid(from zodb.Oid) (oid zodb.Oid, ok bool) {
	oid, _, ok = s.present().index.next(from)
	return oid, ok
}

// NewOid returns an oid that no object has and that was not handed out before since Open. Should the largest oid be
// taken, it returns 0, the root's.
func (s *Storage) NewOid() zodb.Oid {
	for {
		last := s.maxOid.Load()
		if last == math.MaxUint64 {
			return 0
		}
		if s.maxOid.CompareAndSwap(last, last+1) {
			return zodb.Oid(last + 1)
		}
	}
}
