package filestorage

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zrsd/zrsd/internal/vfs"
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

// An openDataFile is one file that stands, or stood, at the path of a Storage: its content, its index, and how far it
// is committed. A pack puts another in its place. Offsets mean something within one data file only.
//
// Whoever reads holds the data file, which keeps its file open. Who has the commit lock need not, and neither need the
// syncer while it has a group, since a pack waits for both.
type openDataFile struct {
	path         string
	file         vfs.File
	id           fs.FileInfo  // which file it is
	index        *index       // oid to the offset of its current committed record
	*commitPoint              // end and last tid of what is committed: nothing after it is for readers
	holders      atomic.Int64 // readers, and the storage while the data file is the present one

	correcting  sync.Mutex
	corrections corrections                  // of correcting
	corrected   atomic.Pointer[openDataFile] // with the corrections; nil: there are none
	base        *openDataFile                // of a corrected one
	proved      vfs.File                     // of a corrected one: with the patches, and as it is elsewhere
}

// newEdition returns a data file without a file, held by its storage.
func newEdition(path string) *openDataFile {
	e := &openDataFile{path: path}
	e.holders.Store(1)
	return e
}

// present returns the present data file for a caller that needs its end or its index and does not read its file.
func (s *Storage) present() *openDataFile {
	s.view.RLock()
	defer s.view.RUnlock()
	return s.openDataFile
}

// hold returns the present data file, for the caller to release.
func (s *Storage) hold() *openDataFile {
	s.view.RLock()
	defer s.view.RUnlock()
	s.holders.Add(1)
	return s.openDataFile
}

// current returns the offset of the current record of oid, the end of what is committed at the same moment, and the
// data file that both are of, with what is known of its damage, for the caller to release.
func (s *Storage) current(oid zodb.Oid) (e *openDataFile, pos, end int64, ok bool) {
	s.view.RLock()
	defer s.view.RUnlock()
	e = s.openDataFile
	e.holders.Add(1)
	pos, ok = e.index.get(oid)
	end, _ = e.get()
	return e.asReadersSee(), pos, end, ok
}

// size returns where the committed part of the data file ends.
func (e *openDataFile) size() int64 {
	end, _ := e.get()
	return end
}

// release lets go of the data file. The last one to do so closes the file, of which nothing is left to be written.
func (e *openDataFile) release() {
	if e.base != nil {
		e = e.base
	}
	if e.holders.Add(-1) == 0 {
		_ = e.file.Close()
	}
}

func (e *openDataFile) corrupt(pos int64, want, got string) error {
	return corruptAt(e.path, pos, want, got)
}

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
	older := 0
	err = s.history(oid, func(_ *openDataFile, r record, _ int64) (more bool, err error) {
		if r.Tid == tid {
			pos = r.pos
		}
		if r.Tid < tid { // tids may go down here and there
			older++
		}
		return pos == 0 && older <= maxOlder, nil
	})
	if err == nil && pos == 0 {
		err = &zodb.POSKeyError{Oid: oid, Tid: tid}
	}
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

// OpenBlob opens the blob that transaction tid wrote for oid; *zodb.POSKeyError with Blob set when there is none.
func (s *Storage) OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	if s.blobs == nil || tid > s.LastTid() {
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	return s.blobs.OpenBlob(oid, tid)
}

// BlobHere is OpenBlob of what can be opened without waiting, where the blob directory has only a part of the blobs.
func (s *Storage) BlobHere(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	here, can := s.blobs.(blobFetcher)
	if !can || tid > s.LastTid() {
		return s.OpenBlob(oid, tid)
	}
	return here.OpenHere(oid, tid)
}

// FetchesBlobs reports whether FetchBlob may bring blobs here.
func (s *Storage) FetchesBlobs() bool {
	_, can := s.blobs.(blobFetcher)
	return can
}

// A blobFetcher is a directory that has a part of the blobs.
type blobFetcher interface {
	Open(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (vfs.File, error)
	OpenHere(oid zodb.Oid, tid zodb.Tid) (vfs.File, error)
}

// FetchBlob has the blob of a revision brought here, where the blob directory has only a part of the blobs, and opens
// it. Elsewhere it is OpenBlob.
func (s *Storage) FetchBlob(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	fetching, can := s.blobs.(blobFetcher)
	if !can || tid > s.LastTid() {
		return s.OpenBlob(oid, tid)
	}
	return fetching.Open(ctx, oid, tid)
}

// A HistoryEntry is one revision in the history of an object, with the metadata of its transaction.
type HistoryEntry struct {
	Tid         zodb.Tid
	Size        int64 // of the data in the record itself: 0 for back pointers and deletions
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
			Tid: r.Tid, Size: int64(r.PLen), User: meta[:u:u], Description: meta[u:d:d], Extension: meta[d:],
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
