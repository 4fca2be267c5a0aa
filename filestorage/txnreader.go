package filestorage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

const (
	// smallTxn is what a transaction may measure to be brought into the window as a whole.
	smallTxn = windowLen / 4
	// smallData is the size up to which data are read through the window; larger ones go from the file to their reader
	// directly.
	smallData = windowLen / 4
)

// A txnReader reads one transaction at a time, checking its structure as it goes. It is a zodb.Transaction, reused for
// the next one: everything that it returned is void after open.
type txnReader struct {
	src *source
	win window
	cursor
	at   int64 // of the next record
	end  int64 // of the last record
	meta zodb.TxnMeta
	text []byte // after the metadata
	rec  zodb.Record
	buf  [zodb.BlobHeadLen]byte

	small bytes.Reader // reads from the window
	large fileRange
	blob  vfs.File
	inner fileRange // of blob
}

// open enters the transaction at pos, which must end at or before end.
func (t *txnReader) open(pos, end int64) error {
	t.win.file, t.win.size = t.src.file, end
	if end-pos < txnHeaderLen+lengthLen {
		return t.src.corrupt(pos, "a transaction", fmt.Sprintf("%d bytes", end-pos))
	}
	if _, err := t.win.view(pos, txnHeaderLen); err != nil { // the window moves there
		return err
	}
	if _, err := t.enter(t, pos); err != nil {
		return err
	}
	if err := t.src.checkTxn(&t.txn, pos, end); err != nil {
		return err
	}
	if t.txn.Length <= smallTxn {
		if _, err := t.win.view(pos, int(t.txn.Length)+lengthLen); err != nil {
			return err
		}
	}
	if err := t.checkSecond(t); err != nil {
		return err
	}
	t.at, t.end = t.first(), t.second()
	return t.readMeta()
}

// bytes reads what the window need not move for.
func (t *txnReader) bytes(pos int64, n int) ([]byte, error) {
	if t.win.has(n, pos) {
		return t.win.view(pos, n)
	}
	b := t.buf[:n]
	if err := t.win.peek(b, pos); err != nil {
		return nil, readError(err)
	}
	return b, nil
}

func (t *txnReader) corrupt(pos int64, want, got string) error { return t.src.corrupt(pos, want, got) }

// readMeta copies the metadata, which outlive the window.
func (t *txnReader) readMeta() error {
	b, err := t.win.view(t.pos+txnHeaderLen, int(t.txn.headerLen()-txnHeaderLen))
	if err != nil {
		return err
	}
	t.text = append(t.text[:0], b...)
	t.meta = t.txn.meta(t.text)
	return nil
}

// Meta returns the header of the transaction.
func (t *txnReader) Meta() *zodb.TxnMeta { return &t.meta }

// NextRecord returns the next record.
func (t *txnReader) NextRecord() (*zodb.Record, error) {
	rec, err := t.nextRecord()
	return rec, t.meets(err)
}

// meets has it told that there is damage. What was read ahead is dropped: it may have been repaired when it is read
// again.
func (t *txnReader) meets(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err // before there is anything to allocate
	}
	if DamageIn(err) == nil {
		return err
	}
	t.win.buf = t.win.buf[:0]
	return t.src.met(err)
}

func (t *txnReader) nextRecord() (*zodb.Record, error) {
	if err := t.closeBlob(); err != nil {
		return nil, err
	}
	if t.at == t.end {
		return nil, io.EOF
	}
	var h recHeader
	if err := t.readHeader(&h); err != nil {
		return nil, err
	}
	data := revision{pos: t.at + recHeaderLen, size: int64(h.PLen)}
	if h.PLen == 0 {
		b, err := t.win.view(t.at+recHeaderLen, backLen)
		if err != nil {
			return nil, err
		}
		data, err = t.src.resolve(&t.win, h.Oid, t.at, int64(binary.BigEndian.Uint64(b)))
		if err != nil {
			return nil, err
		}
	}
	t.rec = zodb.Record{Oid: h.Oid, Tid: h.Tid, DataTxn: data.tid, HasPrev: h.Prev != 0, Size: data.size}
	if err := t.attachData(data); err != nil {
		return &t.rec, err // it says which record it is that cannot be read
	}
	t.at += h.length()
	return &t.rec, nil
}

// readHeader reads the header of the next record and checks that the record is inside the transaction.
func (t *txnReader) readHeader(h *recHeader) error {
	room := t.end - t.at - recHeaderLen
	if room < 0 {
		return t.src.corrupt(t.at, "a data record", fmt.Sprintf("%d bytes", t.end-t.at))
	}
	b, err := t.win.view(t.at, recHeaderLen)
	if err != nil {
		return err
	}
	h.decode(b)
	switch {
	case h.Tloc != t.pos:
		return t.src.corrupt(t.at+24, fmt.Sprintf("the offset %d of its transaction", t.pos), fmt.Sprint(h.Tloc))
	case h.VLen != 0:
		return fmt.Errorf("%s: offset %d: %w", t.src.path, t.at, ErrVersions)
	case h.PLen > uint64(room), h.PLen == 0 && room < backLen:
		return t.src.corrupt(t.at+34, fmt.Sprintf("data within the %d bytes left", room), fmt.Sprint(h.PLen))
	}
	return nil
}

// attachData gives the record readers of its data and blob.
func (t *txnReader) attachData(data revision) error {
	if data.size == zodb.NoData {
		return nil
	}
	if data.pos > t.pos && data.size <= smallData {
		if _, err := t.win.view(data.pos, int(data.size)); err != nil {
			return err
		}
	}
	if data.size <= smallData && t.win.has(int(data.size), data.pos) {
		t.small.Reset(t.win.buf[data.pos-t.win.at:][:data.size])
		t.rec.Data = &t.small
	} else {
		t.large = fileRange{t.src.file, data.pos, data.pos + data.size, t}
		t.rec.Data = &t.large
	}
	return t.attachBlob(data)
}

// attachBlob opens the blob of a blob record. Blobs may be missing, since a copy without them, or a pack, leaves the
// record: then the record goes without. So it does where a blob is damaged and nobody knows what it has to be: a wrong
// copy would be taken for a right one, and all that comes after it must not wait for a repair.
func (t *txnReader) attachBlob(data revision) error {
	if t.src.openBlob == nil {
		return nil
	}
	head := t.buf[:min(zodb.BlobHeadLen, data.size)]
	if err := t.win.peek(head, data.pos); err != nil {
		return readError(err)
	}
	if !zodb.IsBlobRecord(head) {
		return nil
	}
	f, err := t.src.openBlob(t.rec.Oid, t.rec.Tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return nil
	}
	if damage := (*zodb.DamagedBlobError)(nil); errors.As(err, &damage) {
		t.rec.BlobDamaged = true
		if t.src.damagedBlob == nil {
			return nil
		}
		if f, err = t.src.damagedBlob(damage); err != nil {
			return nil //nolint:nilerr // who was asked has said why
		}
	}
	if err != nil {
		return fmt.Errorf("open blob of oid %v tid %v: %w", t.rec.Oid, t.rec.Tid, err)
	}
	t.blob = f
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("blob of oid %v tid %v: %w", t.rec.Oid, t.rec.Tid, errors.Join(err, t.closeBlob()))
	}
	t.inner = fileRange{file: f, end: info.Size()}
	t.rec.Blob, t.rec.BlobSize = &t.inner, info.Size()
	return nil
}

func (t *txnReader) closeBlob() error {
	if t.blob == nil {
		return nil
	}
	f := t.blob
	t.blob = nil
	return f.Close()
}
