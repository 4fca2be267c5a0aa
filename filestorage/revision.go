package filestorage

import (
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// ReadRevision reads the data of exactly the revision that tid wrote into b, from an offset, and returns how many bytes
// that are, and of how many. As ReadAt it returns io.EOF at the end of the data. *zodb.POSKeyError when there is no
// such revision, or it has no data.
func (s *Storage) ReadRevision(b []byte, oid zodb.Oid, tid zodb.Tid, off int64) (n int, size int64, err error) {
	err = s.exactly(oid, tid, func(e *openDataFile, r record, end int64) error {
		if r, err = e.origin(oid, r.pos, end); err != nil {
			return err
		}
		if size = int64(r.PLen); size == 0 {
			return &zodb.POSKeyError{Oid: oid, Tid: tid}
		}
		n = int(min(int64(len(b)), max(size-off, 0)))
		return readFull(e.file, b[:n], r.pos+recHeaderLen+off)
	})
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, size, err
}

// TransactionText returns user, description and extension of transaction tid, one after the other, which has a record
// of oid. *zodb.POSKeyError when there is no such record.
func (s *Storage) TransactionText(oid zodb.Oid, tid zodb.Tid) (text []byte, err error) {
	err = s.exactly(oid, tid, func(e *openDataFile, r record, _ int64) error {
		h, err := e.txnHeaderAt(r.Tloc, r.pos)
		if err != nil {
			return err
		}
		text = make([]byte, h.headerLen()-txnHeaderLen)
		return readFull(e.file, text, r.Tloc+txnHeaderLen)
	})
	return text, err
}

// exactly calls f for the revision of oid that tid wrote.
func (s *Storage) exactly(oid zodb.Oid, tid zodb.Tid, f func(e *openDataFile, r record, end int64) error) error {
	older, found := 0, false
	err := s.history(oid, func(e *openDataFile, r record, end int64) (more bool, err error) {
		if r.Tid < tid { // tids may go down here and there
			older++
		}
		if r.Tid != tid {
			return older <= maxOlder, nil
		}
		found = true
		return false, f(e, r, end)
	})
	if err == nil && !found {
		err = &zodb.POSKeyError{Oid: oid, Tid: tid}
	}
	return err
}
