package filestorage

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// Restore appends a revision as another storage has it, without looking at what is current. It reads rec.Data and
// rec.Blob to their ends. So that a copy becomes byte for byte what the original is,
//
//   - the revision is linked to the one before it only if rec.HasPrev says that the original is;
//   - a record that takes its data from transaction rec.DataTxn becomes a back pointer to the last record of the oid
//     there, if that has the same data or is a pointer itself; otherwise, or if there is no such transaction here, the
//     data are written in full.
func (t *Txn) Restore(rec *zodb.Record) error {
	if err := t.usable(); err != nil {
		return err
	}
	if rec.Blob != nil && t.s.blobs == nil {
		return fmt.Errorf("restore oid %v: %w", rec.Oid, ErrNoBlobs)
	}
	if err := t.restoreData(rec); err != nil {
		return t.mayBreak(fmt.Errorf("restore oid %v tid %v: %w", rec.Oid, rec.Tid, err))
	}
	if rec.Blob == nil {
		return nil
	}
	return t.stage(rec.Oid, rec.Tid, rec.Blob, rec.BlobSize)
}

func (t *Txn) restoreData(rec *zodb.Record) error {
	r := recHeader{Oid: rec.Oid, Tid: rec.Tid}
	if rec.HasPrev {
		r.Prev, _ = t.s.newest(rec.Oid)
	}
	source, err := t.dataSource(rec)
	if err != nil {
		return err
	}
	switch {
	case rec.Size == 0:
		return zodb.ErrEmptyData
	case source.pos != 0 && source.PLen == 0: // a pointer is trusted: the data come from where it leads
		if rec.Size > 0 {
			err = skipData(rec.Data, rec.Size)
		}
		return errors.Join(err, t.writePointer(&r, source.pos))
	case rec.Size < 0:
		return t.writePointer(&r, 0)
	}
	r.PLen = uint64(rec.Size)
	if source.pos != 0 && source.PLen == r.PLen {
		return t.restoreSame(&r, rec, source)
	}
	if err := t.write(&r); err != nil {
		return err
	}
	return t.copyData(rec.Data, rec.Size)
}

// restoreSame writes a pointer to source if rec has the same data, which have the same size. Nothing is written for as
// long as they agree, and when they turn out not to, what did agree is copied from there.
func (t *Txn) restoreSame(r *recHeader, rec *zodb.Record, source record) error {
	agreed, rest, err := t.s.agreement(rec.Data, source)
	if err != nil {
		return err
	}
	if agreed == rec.Size {
		return errors.Join(atEnd(rec.Data), t.writePointer(r, source.pos))
	}
	if err := t.write(r); err != nil {
		return err
	}
	out := &t.s.writer.out
	if err := out.copyN(io.NewSectionReader(t.s.file, source.pos+recHeaderLen, agreed), agreed); err != nil {
		return err
	}
	if _, err := out.Write(rest); err != nil {
		return err
	}
	return t.copyData(rec.Data, rec.Size-agreed-int64(len(rest)))
}

func (t *Txn) copyData(data io.Reader, n int64) error {
	if err := t.s.writer.out.copyN(data, n); err != nil {
		return err
	}
	return atEnd(data)
}

// skipData reads data, of n bytes, to their end.
func skipData(data io.Reader, n int64) error {
	if _, err := io.CopyN(io.Discard, data, n); err != nil {
		return missing(err)
	}
	return atEnd(data)
}

func missing(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// atEnd is nil when data are at their end.
func atEnd(data io.Reader) error {
	var b [1]byte
	n, err := io.ReadFull(data, b[:])
	switch {
	case n > 0:
		return errors.New("the record has more data than its size says")
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// dataSource returns the record that a back pointer for rec has to lead to: the last one of its oid in transaction
// rec.DataTxn. Its pos is 0 when there is none.
func (t *Txn) dataSource(rec *zodb.Record) (record, error) {
	if rec.DataTxn == 0 {
		return record{}, nil
	}
	pos, ok := t.s.newest(rec.Oid)
	for older, steps := 0, 0; ok && pos != 0 && steps < MaxRecent; steps++ { // the commit lock is held
		r, err := t.s.record(rec.Oid, pos, t.start)
		if err != nil || r.Tid == rec.DataTxn {
			return r, err
		}
		if r.Tid < rec.DataTxn { // tids may go down here and there
			if older++; older > maxOlder {
				break
			}
		}
		if r.Prev < 0 || r.Prev >= pos {
			return r, t.s.corrupt(pos+16, "the offset of an earlier record", fmt.Sprint(r.Prev))
		}
		pos = r.Prev
	}
	return t.searchSource(rec.Oid, rec.DataTxn) // a pack has cut the oid's history, or it is a long one
}

// maxOlder is how many revisions that are older than the one that is looked for are tried.
const maxOlder = 100

// searchSource finds the last record of oid in the transaction with the given tid by way of the transaction.
func (t *Txn) searchSource(oid zodb.Oid, tid zodb.Tid) (record, error) {
	src := t.s.source()
	at, err := src.seek(context.Background(), tid-1)
	if err = errors.Join(err, src.release()); err != nil {
		return record{}, err
	}
	for at < t.start { // one step, unless the transaction is not committed yet: seek ends where those begin
		h, err := t.s.txnHeaderAt(at, t.start)
		if err != nil {
			return record{}, err
		}
		if h.Length > uint64(t.start-at-lengthLen) {
			return record{}, t.s.corrupt(at+8, "the length of a transaction", fmt.Sprint(h.Length))
		}
		if h.Tid == tid && h.Status != zodb.StatusUndone {
			return t.s.lastOf(oid, &h, at)
		}
		if h.Tid > tid {
			break
		}
		at += int64(h.Length) + lengthLen
	}
	return record{}, nil
}

// lastOf returns the last record of oid in the transaction at pos; its pos is 0 when there is none.
func (e *openDataFile) lastOf(oid zodb.Oid, h *txnHeader, pos int64) (record, error) {
	var found int64
	err := e.eachRecord(h, pos, func(r *recHeader, at int64) error {
		if r.Oid == oid {
			found = at
		}
		return nil
	})
	if err != nil || found == 0 {
		return record{}, err
	}
	return e.record(oid, found, pos+int64(h.Length))
}
