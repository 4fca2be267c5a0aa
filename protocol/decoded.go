package protocol

import (
	"fmt"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// decoded is the one transaction of a Decoder: each Next fills it anew.
type decoded struct {
	d    *Decoder
	open bool // T has been read, C has not
	meta zodb.TxnMeta
	text []byte // what meta's fields point into
	rec  zodb.Record
	data blockReader
	blob blockReader
}

func (t *decoded) init(d *Decoder) {
	t.d = d
	t.data.d = d
	t.blob.d, t.blob.before = d, &t.data
}

// Meta is valid until the Decoder's Next.
func (t *decoded) Meta() *zodb.TxnMeta { return &t.meta }

// NextRecord skips what has not been read of the record before. It returns io.EOF only after the transaction's digest
// has been found right.
func (t *decoded) NextRecord() (*zodb.Record, error) {
	switch {
	case t.d.err != nil:
		return nil, t.d.err
	case !t.open:
		return nil, io.EOF
	}
	for _, s := range []*blockReader{&t.data, &t.blob} {
		if err := s.skip(); err != nil {
			return nil, err
		}
	}
	more, err := t.advance()
	if err != nil {
		return nil, t.d.fail(err)
	}
	if !more {
		t.open = false
		return nil, io.EOF
	}
	return &t.rec, nil
}

// begin reads a T frame.
func (t *decoded) begin() error {
	frame, err := t.d.next(t.d.lim.MaxFrame)
	if err != nil {
		return err
	}
	f := &t.d.frame
	last := t.meta.Tid
	kind, n := f.begin(frame, last)
	if f.err == nil && (kind != frameTxn || n != lenTxn) {
		return outOfPlace(last, "a T frame", kind, n)
	}
	tid := zodb.Tid(f.number())
	status := f.integer()
	t.text = f.bytes(t.text[:0], zodb.MaxMetaLen)
	user := len(t.text)
	t.text = f.bytes(t.text, zodb.MaxMetaLen)
	description := len(t.text)
	t.text = f.bytes(t.text, zodb.MaxMetaLen)
	if err := f.end(); err != nil {
		return err
	}
	if status < 0 || status > 255 || !streamable(zodb.Status(status)) {
		return &FrameError{Tid: tid, Want: "the status of a complete transaction", Got: fmt.Sprint(status)}
	}
	t.d.sum.Write(frame)
	t.open = true
	t.meta = zodb.TxnMeta{
		Tid: tid, Status: zodb.Status(status),
		User:        t.text[:user:user],
		Description: t.text[user:description:description],
		Extension:   t.text[description:],
	}
	return nil
}

// advance reads a record's frame into rec, or the end of the transaction.
func (t *decoded) advance() (more bool, err error) {
	frame, err := t.d.next(t.d.lim.MaxFrame)
	if err != nil {
		return false, err
	}
	f := &t.d.frame
	kind, n := f.begin(frame, t.meta.Tid)
	switch {
	case f.err != nil:
		return false, f.err
	case kind == frameCommit && n == lenCommit:
		return false, t.d.commit(frame)
	case kind == frameRecord && n == lenRecord, (kind == frameBlob || kind == frameShared) && n == lenBlob:
		err := t.record(kind)
		t.d.sum.Write(frame)
		return true, err
	}
	return false, outOfPlace(t.meta.Tid, "an S, B, H or C frame", kind, n)
}

// record reads what follows the kind of an S, B or H frame.
func (t *decoded) record(kind string) error {
	f := &t.d.frame
	t.rec = zodb.Record{
		Oid: zodb.Oid(f.number()), Tid: zodb.Tid(f.number()), DataTxn: zodb.Tid(f.numberOrNil()), HasPrev: f.bool(),
		Size: f.integer(),
	}
	if kind != frameRecord {
		t.rec.BlobSize = f.integer()
	}
	t.rec.SharedBlob = kind == frameShared
	if err := f.end(); err != nil {
		return err
	}
	if err := t.checkSize("record", t.rec.Size, zodb.NoData, t.d.lim.MaxRecord); err != nil {
		return err
	}
	if err := t.checkSize("blob", t.rec.BlobSize, 0, t.d.lim.MaxBlob); err != nil {
		return err
	}
	t.data.left, t.blob.left = max(t.rec.Size, 0), 0
	if t.rec.Size != zodb.NoData {
		t.rec.Data = &t.data
	}
	if kind == frameBlob {
		t.blob.left = t.rec.BlobSize
		t.rec.Blob = &t.blob
	}
	return nil
}

func (t *decoded) checkSize(what string, size, least, most int64) error {
	switch {
	case size < least:
		return &FrameError{Tid: t.meta.Tid, Want: "the size of a " + what, Got: fmt.Sprint(size)}
	case size > most:
		return &TooLargeError{What: what, Tid: t.meta.Tid, Oid: t.rec.Oid, Size: size, Max: most}
	}
	return nil
}

func outOfPlace(tid zodb.Tid, want, kind string, elements int) error {
	return &FrameError{Tid: tid, Want: want, Got: fmt.Sprintf("%q with %d elements", kind, elements)}
}
