package filestorage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/zrsd/zrsd/zodb"
)

// headLen is how much of a record is read at once, in the hope that it is all of it.
const headLen = 4 << 10

var heads = sync.Pool{New: func() any { return new([headLen]byte) }}

// A record is the header of a record with where it is and, when it has no data of its own, its back pointer.
type record struct {
	recHeader
	pos  int64
	back int64 // 0 for none
}

// record reads the record of oid at pos, which must end by end, without its data.
func (e *openDataFile) record(oid zodb.Oid, pos, end int64) (record, error) {
	var b [recHeaderLen + backLen]byte
	n := min(int64(len(b)), end-pos)
	if pos < magicLen+txnHeaderLen || n < recHeaderLen {
		return record{}, e.corrupt(pos, "a record of oid "+oid.String(), "an offset outside of the transactions")
	}
	if err := readFull(e.file, b[:n], pos); err != nil {
		return record{}, err
	}
	return e.parseRecord(b[:n], oid, pos, end)
}

// parseRecord decodes the record of oid that begins with b at pos and must end by end.
func (e *openDataFile) parseRecord(b []byte, oid zodb.Oid, pos, end int64) (record, error) {
	r := record{pos: pos}
	r.decode(b)
	room := end - pos - recHeaderLen
	switch {
	case r.Oid != oid:
		return r, e.corrupt(pos, "a record of oid "+oid.String(),
			fmt.Sprintf("one of %v (if the index is wrong: stop zrsd and remove %s)", r.Oid, e.path+indexSuffix))
	case r.VLen != 0:
		return r, fmt.Errorf("%s: offset %d: %w", e.path, pos, ErrVersions)
	case r.PLen > uint64(room) || r.PLen == 0 && room < backLen:
		return r, e.corrupt(pos+34, fmt.Sprintf("a record that ends by %d", end), fmt.Sprint(r.PLen, " bytes of data"))
	case r.PLen > 0:
		return r, nil
	}
	r.back = int64(binary.BigEndian.Uint64(b[recHeaderLen:]))
	if r.back < 0 || r.back >= pos {
		return r, e.corrupt(pos+recHeaderLen, "a back pointer to an earlier record", fmt.Sprint(r.back))
	}
	return r, nil
}

// fetch reads the record of oid at pos with its data, nil when it has none of its own.
func (e *openDataFile) fetch(oid zodb.Oid, pos, end int64) (record, []byte, error) {
	head := heads.Get().(*[headLen]byte)
	defer heads.Put(head)
	r, data, err := e.fetchInto(head[:], oid, pos, end)
	if err == nil && recHeaderLen+len(data) <= headLen {
		data = bytes.Clone(data)
	}
	return r, data, err
}

// fetchInto is fetch with data that are in buf if the record fits there.
func (e *openDataFile) fetchInto(buf []byte, oid zodb.Oid, pos, end int64) (record, []byte, error) {
	head := buf[:min(int64(len(buf)), end-pos)]
	if pos < magicLen+txnHeaderLen || len(head) < recHeaderLen {
		return record{}, nil, e.corrupt(pos, "a record of oid "+oid.String(), "an offset outside of the transactions")
	}
	n, err := e.file.ReadAt(head, pos) // what is after the record may not be readable
	if least := min(len(head), recHeaderLen+backLen); n < least {
		return record{}, nil, notRead(e.file, pos+int64(n), pos+int64(least), err)
	}
	head = head[:n]
	r, err := e.parseRecord(head, oid, pos, end)
	if err != nil || r.PLen == 0 {
		return r, nil, err
	}
	if size := recHeaderLen + r.PLen; size <= uint64(len(head)) {
		return r, head[recHeaderLen:size:size], nil
	}
	data := make([]byte, r.PLen)
	have := copy(data, head[recHeaderLen:])
	return r, data, readFull(e.file, data[have:], pos+recHeaderLen+int64(have))
}

// revision returns tid and data of the record of oid at pos, following back pointers; data is nil when they end
// without.
func (e *openDataFile) revision(oid zodb.Oid, pos, end int64) (tid zodb.Tid, data []byte, err error) {
	r, data, err := e.fetch(oid, pos, end)
	tid = r.Tid
	for err == nil && data == nil && r.back != 0 {
		r, data, err = e.fetch(oid, r.back, end)
	}
	return tid, data, err
}

// revisionInto returns the data of revision, in buf if the record fits there.
func (e *openDataFile) revisionInto(buf []byte, oid zodb.Oid, pos, end int64) (data []byte, err error) {
	r, data, err := e.fetchInto(buf, oid, pos, end)
	for err == nil && data == nil && r.back != 0 {
		r, data, err = e.fetchInto(buf, oid, r.back, end)
	}
	return data, err
}

// older returns the record before r in the history of its oid, ok false when there is none. Records of undone
// transactions are passed over.
func (e *openDataFile) older(r record, end int64) (before record, ok bool, err error) {
	for r.Prev != 0 {
		if r.Prev < 0 || r.Prev >= r.pos {
			return r, false, e.corrupt(r.pos+16, "the offset of an earlier record", fmt.Sprint(r.Prev))
		}
		if r, err = e.record(r.Oid, r.Prev, end); err != nil {
			return r, false, err
		}
		h, err := e.txnHeaderAt(r.Tloc, r.pos)
		if err != nil {
			return r, false, err
		}
		if h.Status != zodb.StatusUndone {
			return r, true, nil
		}
	}
	return record{}, false, nil
}

// txnHeaderAt reads the header of the transaction at pos, in which a record is at within.
func (e *openDataFile) txnHeaderAt(pos, within int64) (h txnHeader, err error) {
	if pos < magicLen || pos > within-txnHeaderLen {
		return h, e.corrupt(within+24, "the offset of the record's transaction", fmt.Sprint(pos))
	}
	var b [txnHeaderLen]byte
	if err := readFull(e.file, b[:], pos); err != nil {
		return h, err
	}
	h.decode(b[:])
	return h, nil
}
