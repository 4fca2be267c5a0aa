package filestorage

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// A HistoryEntry is one revision in the history of an object, with the metadata of its transaction.
type HistoryEntry struct {
	Tid         zodb.Tid
	Size        int64 // of the data in the record itself: 0 for back pointers and deletions
	Record      int64 // of the record in the file, with its header, as CurrentRecord.Size
	User        []byte
	Description []byte
	Extension   []byte // raw
}

// An Invalidation is a transaction and the objects it changed, in file order.
type Invalidation struct {
	Tid  zodb.Tid
	Oids []zodb.Oid
}

// history calls f for the revisions of oid, newest first, until it wants no more. Unknown oid: *zodb.POSKeyError.
func (s *Storage) history(oid zodb.Oid, f func(e *openDataFile, r record, end int64) (more bool, err error)) error {
	e, pos, end, ok := s.current(oid)
	defer e.release()
	if !ok {
		return &zodb.POSKeyError{Oid: oid}
	}
	r, err := e.record(oid, pos, end)
	for more := true; more && err == nil; {
		if more, err = f(e, r, end); more && err == nil {
			r, more, err = e.older(r, end)
		}
	}
	return s.meets(err)
}

// History returns up to size revisions of an object, the newest first, deletions included.
func (s *Storage) History(oid zodb.Oid, size int) ([]HistoryEntry, error) {
	var entries []HistoryEntry
	if size <= 0 {
		return entries, nil
	}
	err := s.history(oid, func(e *openDataFile, r record, _ int64) (more bool, err error) {
		h, err := e.txnHeaderAt(r.Tloc, r.pos)
		if err != nil {
			return false, err
		}
		meta := make([]byte, h.headerLen()-txnHeaderLen)
		if err := readFull(e.file, meta, r.Tloc+txnHeaderLen); err != nil {
			return false, err
		}
		u, d := int(h.ULen), int(h.ULen)+int(h.DLen)
		entries = append(entries, HistoryEntry{
			Tid: r.Tid, Size: int64(r.PLen), Record: r.length(),
			User: meta[:u:u], Description: meta[u:d:d], Extension: meta[d:],
		})
		return len(entries) < size, nil
	})
	return entries, err
}

// LastInvalidations returns the last n transactions, or all if there are fewer, the oldest first.
func (s *Storage) LastInvalidations(n int) ([]Invalidation, error) {
	e := s.hold()
	defer e.release()
	return e.invalidationsBefore(e.size(), n)
}

// invalidationsBefore returns the last n transactions before pos, the oldest first.
func (e *openDataFile) invalidationsBefore(pos int64, n int) ([]Invalidation, error) {
	var list []Invalidation
	for len(list) < n && pos > magicLen {
		h, at, err := e.txnBefore(pos)
		if err != nil {
			return nil, err
		}
		pos = at
		if h.Status == zodb.StatusUndone {
			continue
		}
		oids, err := e.oidsOf(&h, at)
		if err != nil {
			return nil, err
		}
		list = append(list, Invalidation{Tid: h.Tid, Oids: oids})
	}
	slices.Reverse(list)
	return list, nil
}

// agreement reads data in blocks for as long as they equal those of source, which has as many. It returns how many
// bytes did, and the first block that did not.
func (s *Storage) agreement(data io.Reader, source record) (agreed int64, rest []byte, err error) {
	size := int64(source.PLen)
	block := make([]byte, min(size, 64<<10))
	other := make([]byte, len(block))
	for agreed < size {
		block = block[:min(int64(len(block)), size-agreed)]
		other = other[:len(block)]
		if _, err := io.ReadFull(data, block); err != nil {
			return 0, nil, missing(err)
		}
		if err := readFull(s.file, other, source.pos+recHeaderLen+agreed); err != nil {
			return 0, nil, err
		}
		if !bytes.Equal(block, other) {
			return agreed, block, nil
		}
		agreed += int64(len(block))
	}
	return agreed, nil, nil
}

// txnBefore reads the header of the transaction that ends at end, and where it begins.
func (e *openDataFile) txnBefore(end int64) (h txnHeader, pos int64, err error) {
	c := scan{file: e.file, path: e.path}
	pos, err = c.before(end, &h)
	return h, pos, err
}

// oidsOf lists the oids of the records of the transaction at pos.
func (e *openDataFile) oidsOf(h *txnHeader, pos int64) (oids []zodb.Oid, err error) {
	err = e.eachRecord(h, pos, func(r *recHeader, _ int64) error {
		oids = append(oids, r.Oid)
		return nil
	})
	return oids, err
}

// eachRecord calls f for the records of the transaction at pos, until it returns an error.
func (e *openDataFile) eachRecord(h *txnHeader, pos int64, f func(r *recHeader, at int64) error) error {
	end := pos + int64(h.Length)
	for at := pos + h.headerLen(); at < end; {
		if end-at < recHeaderLen {
			return e.corrupt(at, "a record", fmt.Sprintf("the end of the transaction at %d", end))
		}
		var b [recHeaderLen]byte
		if err := readFull(e.file, b[:], at); err != nil {
			return err
		}
		var r recHeader
		r.decode(b[:])
		if r.PLen > uint64(end-at-recHeaderLen) {
			return e.corrupt(at+34, fmt.Sprintf("a record that ends by %d", end), fmt.Sprint(r.PLen, " bytes of data"))
		}
		if err := f(&r, at); err != nil {
			return err
		}
		at += r.length()
	}
	return nil
}
