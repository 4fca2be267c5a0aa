package filestorage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A writer is what the holder of the commit lock needs of the end of the file.
type writer struct {
	end   int64    // where the next transaction goes: after the last one enqueued
	last  zodb.Tid // of that one
	begun zodb.Tid // the last tid given to a transaction, also to one that was aborted
	out   output

	checked time.Time // when the file was last looked at: see checkOwn
}

// A Txn is the transaction in progress. It is for one goroutine, and ends with Finish, Enqueue or Abort; until then no
// other begins. After an error that leaves it incomplete, all that it takes is Abort.
type Txn struct {
	s       *Storage
	header  txnHeader // as it will be
	start   int64
	entries []entry // its records, none for an undone transaction
	blobs   []zodb.StagedBlob
	blobOf  map[zodb.Oid]int // where in blobs an oid's is
	staged  int64            // bytes in blobs
	voted   *group
	tell    bool // watchers get the objects that it changes
	over    bool
	broken  error // why it can only be aborted

	complete bool // all of it is in the file
	ahead    bool // of queue.mu: and its records are durable
}

// Begin waits for the commit lock, and for room on the way to the disk, and begins a transaction. With meta.Tid 0 it
// gets a new tid; any other must be above the last one (zodb.ErrTidOrder). meta.Status is what the transaction has when
// it is finished: committed (also for 0), packed or undone; records of an undone one are written and otherwise ignored.
//
// Errors: zodb.ErrReadOnly, zodb.ErrClosed, *zodb.TooLongError, *FailedError, the context's cause. The lock is not
// kept.
func (s *Storage) Begin(ctx context.Context, meta *zodb.TxnMeta) (*Txn, error) {
	return s.beginAs(ctx, meta, true)
}

// Replay is Begin for a transaction of another copy of this history, where tids may go down, as they do in files of
// clocks that were wrong: any tid will do but that of the last transaction. Those that get a new tid later are above
// all of them.
func (s *Storage) Replay(ctx context.Context, meta *zodb.TxnMeta) (*Txn, error) {
	return s.beginAs(ctx, meta, false)
}

func (s *Storage) beginAs(ctx context.Context, meta *zodb.TxnMeta, ordered bool) (*Txn, error) {
	if s.readOnly {
		return nil, fmt.Errorf("begin a transaction in %s: %w", s.path, zodb.ErrReadOnly)
	}
	h, err := headerFor(meta)
	if err != nil {
		return nil, err
	}
	if err := s.lockCommit(ctx); err != nil {
		return nil, fmt.Errorf("begin a transaction in %s: %w", s.path, err)
	}
	if err := s.queue.room(ctx, maxUnsynced); err != nil {
		<-s.commit
		return nil, fmt.Errorf("begin a transaction in %s: %w", s.path, err)
	}
	return s.beginLocked(h, meta, ordered)
}

// BeginNow is Begin where nothing is to be waited for, and nil where something is.
func (s *Storage) BeginNow(meta *zodb.TxnMeta) (*Txn, error) {
	h, err := headerFor(meta)
	if err != nil || s.readOnly {
		return nil, err
	}
	select {
	case <-s.closed:
		return nil, nil //nolint:nilnil // Begin has the error
	case s.commit <- struct{}{}:
		s.waits.tookLock()
		s.lockTimes.Observe(0)
	default:
		return nil, nil //nolint:nilnil // as above
	}
	if !s.queue.hasRoom() {
		<-s.commit
		return nil, nil //nolint:nilnil // as above
	}
	return s.beginLocked(h, meta, true)
}

// beginLocked is called with the commit lock, which it releases after an error.
func (s *Storage) beginLocked(h txnHeader, meta *zodb.TxnMeta, ordered bool) (*Txn, error) {
	t, err := s.begin(h, meta, ordered)
	if err != nil {
		<-s.commit
		return nil, fmt.Errorf("begin a transaction in %s: %w", s.path, err)
	}
	return t, nil
}

func headerFor(meta *zodb.TxnMeta) (h txnHeader, err error) {
	fields := []struct {
		name  string
		value []byte
	}{{"user", meta.User}, {"description", meta.Description}, {"extension", meta.Extension}}
	for _, f := range fields {
		if len(f.value) > zodb.MaxMetaLen {
			return h, &zodb.TooLongError{Field: f.name, Len: len(f.value)}
		}
	}
	h = txnHeader{
		Tid: meta.Tid, Status: meta.Status,
		ULen: uint16(len(meta.User)), DLen: uint16(len(meta.Description)), ELen: uint16(len(meta.Extension)),
	}
	if h.Status == 0 {
		h.Status = zodb.StatusCommitted
	}
	if !h.Status.Known() || h.Status == zodb.StatusCheckpoint {
		return h, fmt.Errorf("a transaction cannot be finished with status %q", byte(h.Status))
	}
	return h, nil
}

func (s *Storage) lockCommit(ctx context.Context) error {
	select {
	case <-s.closed:
		return zodb.ErrClosed
	default:
	}
	select {
	case s.commit <- struct{}{}:
		s.waits.tookLock()
		s.lockTimes.Observe(0)
		return nil
	default:
	}
	begun := time.Now()
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	select {
	case s.commit <- struct{}{}:
		s.waits.tookLock()
		s.lockTimes.Observe(time.Since(begun))
		return nil
	case <-s.closed:
		return zodb.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Storage) begin(h txnHeader, meta *zodb.TxnMeta, ordered bool) (*Txn, error) {
	w := &s.writer
	switch {
	case h.Tid == 0:
		now, err := zodb.TidFromTime(s.now())
		if err != nil {
			return nil, err
		}
		h.Tid = zodb.LaterThan(now, max(w.begun, w.last))
	case h.Tid == w.last, h.Tid < w.last && ordered:
		return nil, fmt.Errorf("tid %v, the last one is %v: %w", h.Tid, w.last, zodb.ErrTidOrder)
	}
	w.begun = max(w.begun, h.Tid, w.last)
	w.out.start(w.end)
	t := &Txn{s: s, header: h, start: w.end}
	var b [txnHeaderLen]byte
	h.Status = zodb.StatusCheckpoint
	h.encode(b[:])
	for _, part := range [][]byte{b[:], meta.User, meta.Description, meta.Extension} {
		if _, err := w.out.Write(part); err != nil {
			s.room.failed(err, s.now())
			return nil, errors.Join(err, t.cut())
		}
	}
	return t, nil
}

// Tid returns the transaction's tid.
func (t *Txn) Tid() zodb.Tid { return t.header.Tid }

// Store writes new data for an object. serial is the revision that the change is based on: if it is not the current one
// of an object that exists, the error is a *zodb.ConflictError.
func (t *Txn) Store(oid zodb.Oid, serial zodb.Tid, data []byte) error {
	if err := t.beginStore(oid, serial, int64(len(data))); err != nil {
		return err
	}
	_, err := t.s.writer.out.Write(data)
	return t.mayBreak(err)
}

// StoreFrom is Store with data, of size bytes, that is read from r, and never in memory as a whole. Nothing of r is
// read when there is a conflict.
func (t *Txn) StoreFrom(oid zodb.Oid, serial zodb.Tid, size int64, r io.Reader) error {
	if err := t.beginStore(oid, serial, size); err != nil {
		return err
	}
	return t.mayBreak(t.s.writer.out.copyN(r, size))
}

// beginStore writes what is before the data of a store, if that is possible.
func (t *Txn) beginStore(oid zodb.Oid, serial zodb.Tid, size int64) error {
	if size == 0 {
		return fmt.Errorf("store oid %v: %w", oid, zodb.ErrEmptyData)
	}
	if err := t.usable(); err != nil {
		return err
	}
	prev, err := t.basedOn(oid, serial)
	if err != nil {
		return err
	}
	return t.write(&recHeader{Oid: oid, Tid: t.header.Tid, Prev: prev, PLen: uint64(size)})
}

// StoreBlob is Store for an object with a blob, which is read to its end. data is the object's record.
func (t *Txn) StoreBlob(oid zodb.Oid, serial zodb.Tid, data []byte, blob io.Reader) error {
	if t.s.blobs == nil {
		return fmt.Errorf("store the blob of oid %v: %w", oid, ErrNoBlobs)
	}
	if err := t.Store(oid, serial, data); err != nil {
		return err
	}
	return t.stage(oid, t.header.Tid, blob, -1)
}

// StoreDraft is StoreBlob with a blob that is in the blob directory already. The draft stays the caller's.
func (t *Txn) StoreDraft(oid zodb.Oid, serial zodb.Tid, data []byte, blob zodb.BlobDraft) error {
	if err := t.Store(oid, serial, data); err != nil {
		return err
	}
	t.s.waits.vote.Waits(waitBlob)
	b, err := blob.Stage(oid, t.header.Tid)
	t.s.waits.vote.Done()
	if err != nil {
		return t.mayBreak(err)
	}
	return t.takeBlob(b, blob.Size())
}

// Delete makes an object not exist any more. *zodb.POSKeyError when it never did, *zodb.ConflictError when serial is
// not its current revision.
func (t *Txn) Delete(oid zodb.Oid, serial zodb.Tid) error {
	if err := t.usable(); err != nil {
		return err
	}
	prev, err := t.basedOn(oid, serial)
	if err != nil {
		return err
	}
	if prev == 0 {
		return &zodb.POSKeyError{Oid: oid}
	}
	return t.writePointer(&recHeader{Oid: oid, Tid: t.header.Tid, Prev: prev}, 0)
}

// CheckCurrent is nil when tid is still the current revision of an object, and otherwise a *zodb.ConflictError with
// Read set, or a *zodb.POSKeyError when the object is unknown or deleted.
func (t *Txn) CheckCurrent(oid zodb.Oid, tid zodb.Tid) error {
	if err := t.usable(); err != nil {
		return err
	}
	pos, ok := t.s.newest(oid)
	if !ok {
		return &zodb.POSKeyError{Oid: oid}
	}
	current, err := t.s.tidAt(oid, pos, t.start)
	if err == nil && current != tid {
		err = &zodb.ConflictError{Oid: oid, Current: current, Seen: tid, Read: true}
	}
	return err
}

// Current returns the revision that a store must be based on, also when it is not durable yet and no load finds it;
// *zodb.POSKeyError when there is none, or it has no data.
func (t *Txn) Current(oid zodb.Oid) (data []byte, tid zodb.Tid, err error) {
	if err := t.usable(); err != nil {
		return nil, 0, err
	}
	pos, ok := t.s.newest(oid)
	if ok {
		tid, data, err = t.s.revision(oid, pos, t.start)
	}
	if err == nil && data == nil {
		err = &zodb.POSKeyError{Oid: oid}
	}
	return data, tid, err
}

// newest returns the offset of the record of oid that is current before the transaction in progress.
func (s *Storage) newest(oid zodb.Oid) (pos int64, ok bool) {
	if pos, ok = s.queue.find(oid); ok {
		return pos, true
	}
	return s.index.get(oid)
}

// basedOn returns the offset of the current record of oid, 0 when it has none, after a check that serial wrote it.
func (t *Txn) basedOn(oid zodb.Oid, serial zodb.Tid) (prev int64, err error) {
	pos, ok := t.s.newest(oid)
	if !ok {
		return 0, nil
	}
	r, err := t.s.record(oid, pos, t.start)
	if err != nil {
		return 0, err
	}
	if r.Tid != serial {
		return 0, &zodb.ConflictError{Oid: oid, Current: r.Tid, Seen: serial}
	}
	return pos, nil
}

// write begins a record: its header, with Tloc filled in.
func (t *Txn) write(r *recHeader) error {
	s := t.s
	r.Tloc = t.start
	var b [recHeaderLen]byte
	r.encode(b[:])
	if t.header.Status != zodb.StatusUndone {
		t.entries = append(t.entries, entry{r.Oid, s.writer.out.pos()})
	}
	s.raiseMaxOid(r.Oid)
	_, err := s.writer.out.Write(b[:])
	return t.mayBreak(err)
}

// raiseMaxOid keeps NewOid from giving an oid that is used.
func (s *Storage) raiseMaxOid(oid zodb.Oid) {
	for last := s.maxOid.Load(); last < uint64(oid); last = s.maxOid.Load() {
		s.maxOid.CompareAndSwap(last, uint64(oid))
	}
}

// writePointer writes a record without data: a back pointer, or with back 0 nothing.
func (t *Txn) writePointer(r *recHeader, back int64) error {
	r.PLen = 0
	if err := t.write(r); err != nil {
		return err
	}
	_, err := t.s.writer.out.Write(binary.BigEndian.AppendUint64(nil, uint64(back)))
	return t.mayBreak(err)
}

// maxOpenBlobs is how many blobs of one transaction are left open, to be synced together with others.
const maxOpenBlobs = 128

// stage takes the content of a blob, of size bytes, -1 when the size is not known beforehand.
func (t *Txn) stage(oid zodb.Oid, tid zodb.Tid, content io.Reader, size int64) error {
	counted := &countingReader{r: content}
	b, err := t.s.blobs.Stage(oid, tid, counted)
	if err != nil {
		return t.mayBreak(fmt.Errorf("blob of oid %v: %w", oid, err))
	}
	if err := t.takeBlob(b, counted.n); err != nil {
		return err
	}
	if size >= 0 && counted.n != size {
		err := fmt.Errorf("blob of oid %v: got %d bytes of %d: %w", oid, counted.n, size, io.ErrUnexpectedEOF)
		return t.mayBreak(err)
	}
	return nil
}

// takeBlob adds a staged blob of n bytes to the transaction.
func (t *Txn) takeBlob(b zodb.StagedBlob, n int64) error {
	t.staged += n
	if err := t.addBlob(b); err != nil {
		return t.mayBreak(err)
	}
	if n := len(t.blobs); n%maxOpenBlobs == 0 {
		if err := syncBlobs(t.blobs[n-maxOpenBlobs:]); err != nil {
			return t.mayBreak(err)
		}
	}
	return nil
}

// addBlob adds a staged blob to the transaction, in the place of one that the same revision has already.
func (t *Txn) addBlob(b zodb.StagedBlob) error {
	if i, ok := t.blobOf[b.Oid()]; ok && t.blobs[i].Tid() == b.Tid() {
		before := t.blobs[i]
		t.blobs[i] = b
		return before.Discard()
	}
	if t.blobOf == nil {
		t.blobOf = map[zodb.Oid]int{}
	}
	t.blobOf[b.Oid()] = len(t.blobs)
	t.blobs = append(t.blobs, b)
	return nil
}

// A countingReader counts what is read through it.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// weight is what the transaction counts against maxUnsynced: its bytes and those of its blobs, and for what its records
// and blobs hold until it is durable, memory the ones and open files the others.
func (t *Txn) weight() int64 {
	return unsyncedWeight(t.s.writer.out.pos()-t.start+t.staged, len(t.entries), len(t.blobs))
}

func unsyncedWeight(size int64, records, blobs int) int64 {
	const recordWeight, blobWeight = 64, 64 << 10
	return size + recordWeight*int64(records) + blobWeight*int64(blobs)
}

// usable is nil while the transaction takes records.
func (t *Txn) usable() error {
	if t.complete {
		return zodb.ErrTransaction
	}
	return t.alive()
}

// alive is nil while the transaction can be voted or enqueued.
func (t *Txn) alive() error {
	switch {
	case t.over || t.voted != nil:
		return zodb.ErrTransaction
	case t.broken != nil:
		return fmt.Errorf("transaction %v can only be aborted: %w", t.header.Tid, t.broken)
	}
	return nil
}

// mayBreak notes an error that leaves the transaction incomplete.
func (t *Txn) mayBreak(err error) error {
	if err != nil && t.broken == nil {
		t.broken = err
		t.s.room.failed(err, t.s.now())
	}
	return err
}
