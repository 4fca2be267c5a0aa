package filestorage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A RawTransaction is a transaction as it is in the file.
type RawTransaction struct {
	Pos    int64 // offset of its header
	Length int64 // the length field: up to the end of the last record; the second length follows there
	Meta   zodb.TxnMeta
}

// End returns the offset of the next transaction.
func (t *RawTransaction) End() int64 { return t.Pos + t.Length + lengthLen }

// A RawRecord is a data record as it is in the file.
type RawRecord struct {
	Pos  int64
	Oid  zodb.Oid
	Tid  zodb.Tid
	Prev int64
	Tloc int64
	Size int64 // of the data after the header; 0 when a back pointer is there
	Back int64 // the back pointer, 0 for none
}

// dataPos returns the offset of the data.
func (r *RawRecord) dataPos() int64 { return r.Pos + recHeaderLen }

// An Inspector walks over a Data.fs from the front and shows its content, with offsets. It opens the file for reading
// only, takes no lock, and sees it as long as it was when it was opened, so it works beside a running server. It is for
// tools that must read damaged files; everything else uses Storage.Iterate. It is for one goroutine.
//
//	for txn, err := range in.Transactions() …   what is committed; after it see Pos
//	    for rec, err := range in.Records() …    of this transaction
//
// A *zodb.CorruptError from Records affects only the rest of that transaction, and Transactions continues after it. One
// from Transactions is the end, because it is unknown where another transaction begins.
type Inspector struct {
	file    vfs.File
	path    string
	win     window
	size    int64
	magic   zodb.Magic
	txn     RawTransaction
	at      cursor
	buf     [inspectBuffer]byte
	rec     RawRecord
	records iter.Seq2[*RawRecord, error] // the one that Records returns: there are many small transactions
	pos     int64                        // where the next transaction begins
	recPos  int64                        // where the next record begins
}

// inspectBuffer is room for each of the fixed parts that an Inspector reads, and for the beginning of data.
const inspectBuffer = max(recHeaderLen+backLen, zodb.BlobHeadLen)

// Inspect opens the Data.fs at path; disk nil: on the real one. Another magic than the two known ones is a
// *zodb.CorruptError.
func Inspect(disk vfs.FS, path string) (*Inspector, error) {
	f, err := vfs.OrOS(disk).OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, err)
	}
	in := &Inspector{file: f, path: path, pos: magicLen}
	in.records = each(in.nextRecord)
	if err := in.start(); err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, errors.Join(err, f.Close()))
	}
	return in, nil
}

func (in *Inspector) start() error {
	info, err := in.file.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &fs.PathError{Op: "read", Path: in.path, Err: errors.New("is a folder, not a data file")}
	}
	in.size = info.Size()
	in.win = window{file: in.file, size: in.size}
	if in.size == 0 { // as ZODB takes it: a file that nobody has written to yet
		in.pos, in.magic = 0, zodb.MagicFS30
		return nil
	}
	if err := in.win.read(in.magic[:min(in.size, magicLen)], 0); err != nil {
		return err
	}
	if !in.magic.Known() {
		return in.corrupt(0, "the magic FS30 or FS21", fmt.Sprintf("%q", in.magic[:]))
	}
	return nil
}

// Close closes the file.
func (in *Inspector) Close() error { return in.file.Close() }

// Magic returns the first four bytes of the file.
func (in *Inspector) Magic() zodb.Magic { return in.magic }

// Size returns the size of the file when it was opened.
func (in *Inspector) Size() int64 { return in.size }

// Pos returns the offset after the last transaction. After it, at the end of Transactions, comes nothing, or a
// transaction that is not committed: one being written at this moment, or one that a crash interrupted.
func (in *Inspector) Pos() int64 { return in.pos }

// Transactions ranges over the transactions that are left, whatever was read of the one before. An error is the last
// thing that comes. A transaction is valid until the next one.
func (in *Inspector) Transactions() iter.Seq2[*RawTransaction, error] { return each(in.next) }

// Records ranges over the records that are left of the transaction that came last, likewise.
func (in *Inspector) Records() iter.Seq2[*RawRecord, error] { return in.records }

// each ranges over what next returns, up to io.EOF, which it leaves out, or another error.
func each[T any](next func() (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := next()
			if errors.Is(err, io.EOF) || !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Next returns the next transaction, which has to be there: where what is committed ends, too, the error is a
// *zodb.CorruptError.
func (in *Inspector) Next() (*RawTransaction, error) {
	txn, err := in.next()
	if errors.Is(err, io.EOF) {
		err = in.corrupt(in.pos, "a transaction", "none that is finished")
	}
	return txn, err
}

// next returns the next transaction, whatever was read of the one before. What it returns is valid until the next call.
func (in *Inspector) next() (*RawTransaction, error) {
	if in.size-in.pos < txnHeaderLen {
		return nil, io.EOF
	}
	b, err := in.at.enter(in, in.pos)
	if err != nil {
		return nil, err
	}
	h := &in.at.txn
	switch {
	case h.Status == zodb.StatusCheckpoint || unwritten(b):
		return nil, in.tail((*scan).checkUnfinished)
	case !h.Status.Known():
		return nil, in.corrupt(in.pos+statusAt, "a transaction's status", fmt.Sprintf("byte 0x%02x", byte(h.Status)))
	case h.Length > uint64(in.size-in.pos-lengthLen), int64(h.Length) < h.headerLen():
		return nil, in.tail(func(c *scan) error { return c.checkTorn(h) })
	}
	return in.enter()
}

// bytes reads a header or a length. The window follows headers only.
func (in *Inspector) bytes(pos int64, n int) ([]byte, error) {
	b, read := in.buf[:n], in.win.peek
	if n == txnHeaderLen {
		read = in.win.read
	}
	if err := read(b, pos); err != nil {
		return nil, err
	}
	return b, nil
}

// tail lets the rules of opening a storage decide whether the tail of an interrupted commit begins here, which is
// io.EOF, or whether good data are after damage.
func (in *Inspector) tail(decide func(*scan) error) error {
	c := newScan(context.Background(), in.file, in.path, in.size)
	c.pos, c.last = in.pos, in.txn.Meta.Tid
	if err := decide(c); err != nil {
		return err
	}
	return io.EOF
}

// enter reads the rest of the transaction whose header has been read.
func (in *Inspector) enter() (*RawTransaction, error) {
	h := &in.at.txn
	if err := in.at.checkSecond(in); err != nil {
		return nil, err
	}
	meta := make([]byte, h.headerLen()-txnHeaderLen)
	if err := in.win.read(meta, in.pos+txnHeaderLen); err != nil {
		return nil, err
	}
	in.txn = RawTransaction{Pos: in.pos, Length: int64(h.Length), Meta: h.meta(meta)}
	in.recPos, in.pos = in.at.first(), in.at.after()
	return &in.txn, nil
}

// nextRecord returns the next record of the transaction. What it returns is valid until the next call.
func (in *Inspector) nextRecord() (*RawRecord, error) {
	end := in.txn.Pos + in.txn.Length
	if in.recPos >= end {
		return nil, io.EOF
	}
	rec, err := in.record(in.win.read, in.recPos, end)
	if err == nil && rec.Tloc != in.txn.Pos {
		err = in.corrupt(rec.Pos+24, fmt.Sprintf("the offset %d of the record's transaction", in.txn.Pos),
			fmt.Sprint(rec.Tloc))
	}
	if err != nil {
		in.recPos = end
		return nil, err
	}
	in.rec = rec
	in.recPos = rec.dataPos() + max(rec.Size, 0)
	if rec.Size == 0 {
		in.recPos += backLen
	}
	return &in.rec, nil
}

// RecordAt reads the record at pos, wherever in the file, as for following a pointer. Its data have been checked to lie
// inside the file, and nothing else.
func (in *Inspector) RecordAt(pos int64) (RawRecord, error) {
	return in.record(in.win.peek, pos, in.size)
}

// IsBlob reports whether the data of rec, at the end of its chain of back pointers, are those of a blob. A pointer
// that does not lead back is a *zodb.CorruptError.
func (in *Inspector) IsBlob(rec *RawRecord) (bool, error) {
	end, err := in.resolve(rec)
	if err != nil {
		return false, err
	}
	head := in.buf[:min(end.Size, zodb.BlobHeadLen)]
	if err := in.win.peek(head, end.dataPos()); err != nil {
		return false, err
	}
	return zodb.IsBlobRecord(head), nil
}

// resolve returns the record at the end of the chain of back pointers of rec.
func (in *Inspector) resolve(rec *RawRecord) (RawRecord, error) {
	end := *rec
	for end.Size == 0 && end.Back != 0 {
		next, err := in.RecordAt(end.Back)
		if err != nil {
			return end, err
		}
		if next.Pos >= end.Pos {
			return end, in.corrupt(end.dataPos(), "a pointer to an earlier record", fmt.Sprint(next.Pos))
		}
		end = next
	}
	return end, nil
}

// Resolved returns the data of rec as a reader of the storage gets them, at the end of its chain of back pointers, and
// their size, which is zodb.NoData where there are none. The error is as of IsBlob.
func (in *Inspector) Resolved(rec *RawRecord) (size int64, data io.Reader, err error) {
	if rec.Size > 0 {
		return rec.Size, in.Data(rec), nil
	}
	end, err := in.resolve(rec)
	switch {
	case err != nil:
		return 0, nil, err
	case end.Size == 0:
		return zodb.NoData, nil, nil
	}
	return end.Size, io.NewSectionReader(peeker{&in.win}, end.dataPos(), end.Size), nil
}

// A peeker reads what lies elsewhere, and leaves the window where it is.
type peeker struct{ win *window }

func (p peeker) ReadAt(b []byte, pos int64) (int, error) {
	if err := p.win.peek(b, pos); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SkipTo has Transactions continue with the one at pos, which the caller knows to begin there.
func (in *Inspector) SkipTo(pos int64) {
	in.pos, in.recPos, in.txn = pos, pos, RawTransaction{Pos: pos}
}

// Before returns the transaction that ends at pos, with nothing of its metadata but tid and status. The error is a
// *zodb.CorruptError when none does.
func (in *Inspector) Before(pos int64) (RawTransaction, error) {
	var h txnHeader
	c := scan{file: in.file, path: in.path, size: in.size}
	at, err := c.before(pos, &h)
	if err != nil {
		return RawTransaction{}, err
	}
	return RawTransaction{Pos: at, Length: int64(h.Length), Meta: zodb.TxnMeta{Tid: h.Tid, Status: h.Status}}, nil
}

// Data returns the data that follow the header of rec.
func (in *Inspector) Data(rec *RawRecord) io.Reader {
	return io.NewSectionReader(&in.win, rec.dataPos(), rec.Size)
}

// record reads the record at pos, which must end at or before end.
func (in *Inspector) record(read func([]byte, int64) error, pos, end int64) (RawRecord, error) {
	b := in.buf[:recHeaderLen+backLen]
	if pos < magicLen || end-pos < recHeaderLen {
		return RawRecord{}, in.corrupt(pos, "a data record", "the end")
	}
	if err := read(b[:recHeaderLen], pos); err != nil {
		return RawRecord{}, err
	}
	var h recHeader
	h.decode(b)
	room := end - pos - recHeaderLen
	switch {
	case h.VLen != 0:
		return RawRecord{}, in.corrupt(pos+32, "no version (0)", fmt.Sprint(h.VLen))
	case h.PLen > uint64(room) || (h.PLen == 0 && room < backLen):
		return RawRecord{}, in.corrupt(pos+34, fmt.Sprintf("data within the %d bytes left", room), fmt.Sprint(h.PLen))
	}
	rec := RawRecord{Pos: pos, Oid: h.Oid, Tid: h.Tid, Prev: h.Prev, Tloc: h.Tloc, Size: int64(h.PLen)}
	if h.PLen == 0 {
		if err := read(b[recHeaderLen:], pos+recHeaderLen); err != nil {
			return RawRecord{}, err
		}
		rec.Back = int64(binary.BigEndian.Uint64(b[recHeaderLen:]))
	}
	return rec, nil
}

func (in *Inspector) corrupt(pos int64, want, got string) error {
	return &zodb.CorruptError{File: in.path, Pos: pos, Want: want, Got: got}
}

// FirstBlob looks through the Data.fs at path for a record of a blob, and returns it; nil: there is none. It takes no
// lock and reads the file once, from the front. disk nil: the real one. It stops at damage, which opening the file will
// report. progress may be nil.
func FirstBlob(ctx context.Context, disk vfs.FS, path string, progress func(done, total int64)) (*RawRecord, error) {
	in, err := Inspect(disk, path)
	if err != nil {
		return nil, undamaged(err)
	}
	defer in.Close() //nolint:errcheck // only read
	for txn, err := range in.Transactions() {
		if err != nil {
			return nil, undamaged(err)
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(txn.Pos, in.Size())
		}
		if rec, err := in.firstBlob(); rec != nil || err != nil {
			return rec, undamaged(err)
		}
	}
	return nil, nil //nolint:nilnil // it has none
}

// firstBlob does so for a transaction.
func (in *Inspector) firstBlob() (*RawRecord, error) {
	for rec, err := range in.Records() {
		if err != nil {
			return nil, err
		}
		if rec.Size == 0 { // what it points to was seen
			continue
		}
		blob, err := in.IsBlob(rec)
		if err != nil {
			return nil, err
		}
		if blob {
			return rec, nil
		}
	}
	return nil, nil //nolint:nilnil // it has none
}

// undamaged leaves errors that are not about what is in a file.
func undamaged(err error) error {
	var corrupt *zodb.CorruptError
	if errors.As(err, &corrupt) {
		return nil
	}
	return err
}
