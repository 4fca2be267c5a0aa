package zrs

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Decoder reads transactions from a primary. It is for one goroutine. Record data and blobs are digested as their
// reader reads them; what Next and NextRecord return is used again by the call after.
type Decoder struct {
	r    *bufio.Reader
	sum  hash.Hash
	lim  protocol.Limits
	err  error // ends everything
	meta zodb.TxnMeta
	open bool // T has been read, C has not
	idle atomic.Bool
	rec  zodb.Record
	data data
	blob blob
	buf  []byte

	plain plainReader
}

// NewDecoder returns a Decoder of what the primary sends after a hello with this last tid.
func NewDecoder(r io.Reader, start zodb.Tid, lim protocol.Limits) *Decoder {
	d := &Decoder{r: bufio.NewReaderSize(r, bufferSize), sum: md5.New(), lim: lim.WithDefaults()}
	d.meta.Tid = start
	d.data.d = d
	d.blob.d = d
	seed := start.Bytes()
	d.sum.Write(seed[:])
	return d
}

// Idle reports whether the Decoder waits for the first byte of a message between two transactions: the primary may be
// silent there for as long as nobody commits, and nowhere else. It may be called concurrently.
func (d *Decoder) Idle() bool { return d.idle.Load() }

// Next returns the next transaction, after reading what is left of the one before. Nothing of a transaction may be
// made visible before its NextRecord has returned io.EOF: only then has its digest been found right. The end of the
// stream between two transactions is io.EOF, and within one io.ErrUnexpectedEOF, wrapped. Other errors are
// *protocol.DigestError, *protocol.FrameError, *protocol.TooLargeError and those of the stream. Every error is final.
func (d *Decoder) Next() (zodb.Transaction, error) {
	for d.err == nil && d.open {
		if _, err := d.NextRecord(); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if d.err != nil {
		return nil, d.err
	}
	message, err := d.firstMessage()
	if err != nil {
		return nil, d.fail(err)
	}
	if err := d.begin(message); err != nil {
		return nil, d.fail(err)
	}
	return d, nil
}

// firstMessage skips keep-alives, which may come between transactions.
func (d *Decoder) firstMessage() ([]byte, error) {
	for {
		d.idle.Store(true)
		_, err := d.r.Peek(1)
		d.idle.Store(false)
		if err != nil {
			return nil, between(err, d.meta.Tid)
		}
		message, err := d.message()
		if err != nil || len(message) > 0 {
			return message, err
		}
	}
}

// between passes io.EOF on unchanged.
func between(err error, last zodb.Tid) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("replication stream after transaction %v: %w", last, err)
}

// Meta is valid until the Decoder's Next.
func (d *Decoder) Meta() *zodb.TxnMeta { return &d.meta }

// NextRecord skips what has not been read of the record before. It returns io.EOF only after the transaction's digest
// has been found right.
func (d *Decoder) NextRecord() (*zodb.Record, error) {
	switch {
	case d.err != nil:
		return nil, d.err
	case !d.open:
		return nil, io.EOF
	}
	if _, err := io.Copy(io.Discard, &d.blob); err != nil { // and the data before it
		return nil, d.fail(err)
	}
	more, err := d.advance()
	if err != nil {
		return nil, d.fail(err)
	}
	if !more {
		d.open = false
		return nil, io.EOF
	}
	return &d.rec, nil
}

// fail makes err the end of the stream.
func (d *Decoder) fail(err error) error {
	if d.err == nil {
		d.err = err
	}
	return d.err
}

// cut names the transaction in which reading the stream failed.
func (d *Decoder) cut(err error) error {
	return fmt.Errorf("replication stream in transaction %v: %w", d.meta.Tid, cutShort(err))
}

func (d *Decoder) wrong(want string, got any) error {
	return &protocol.FrameError{Tid: d.meta.Tid, Want: want, Got: fmt.Sprint(got)}
}

// size reads the length of the next message.
func (d *Decoder) size() (int64, error) {
	var b [sizeLen]byte
	if _, err := io.ReadFull(d.r, b[:]); err != nil {
		return 0, d.cut(err)
	}
	return int64(binary.BigEndian.Uint32(b[:])), nil
}

// message reads a message that is neither data nor block. It is valid until the next one, and not yet digested.
func (d *Decoder) message() ([]byte, error) {
	n, err := d.size()
	if err != nil {
		return nil, err
	}
	if n > maxMessage {
		return nil, d.cut(&protocol.TooLargeError{What: "message", Size: n, Max: maxMessage})
	}
	if int64(cap(d.buf)) < n {
		d.buf = make([]byte, n)
	}
	d.buf = d.buf[:n]
	if _, err := io.ReadFull(d.r, d.buf); err != nil {
		return nil, d.cut(err)
	}
	return d.buf, nil
}

// fields reads a message that is neither data nor block.
func (d *Decoder) fields(message []byte) (kind string, f fields, err error) {
	if kind, f, plain := d.plain.open(message); plain {
		return kind, f, nil
	}
	return open(message)
}

// begin reads a T message.
func (d *Decoder) begin(message []byte) error {
	kind, f, err := d.fields(message)
	if err != nil || kind != kindTxn {
		return d.wrong("a T message", outOfPlace(kind, err))
	}
	m := zodb.TxnMeta{Tid: zodb.Tid(f.id("tid")), Status: f.status()}
	m.User = bytes.Clone(f.bytes("user", zodb.MaxMetaLen))
	m.Description = bytes.Clone(f.bytes("description", zodb.MaxMetaLen))
	m.Extension = f.extension()
	if err := f.end(); err != nil {
		return d.wrong("a T message", err)
	}
	if m.Status != zodb.StatusCommitted && m.Status != zodb.StatusPacked {
		return d.wrong("the status of a complete transaction", fmt.Sprintf("%q", byte(m.Status)))
	}
	d.sum.Write(message)
	d.meta, d.open = m, true
	return nil
}

func outOfPlace(kind string, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("one of kind %.20q", kind)
}

// advance reads a record's message into rec, or the end of the transaction.
func (d *Decoder) advance() (more bool, err error) {
	message, err := d.message()
	if err != nil {
		return false, err
	}
	kind, f, err := d.fields(message)
	switch {
	case err == nil && kind == kindCommit:
		return false, d.commit(&f, message)
	case err == nil && (kind == kindRecord || kind == kindBlob):
		if err := d.record(&f, kind == kindBlob); err != nil {
			return false, err
		}
		d.sum.Write(message)
		return true, d.beginData()
	}
	return false, d.wrong("an S, B or C message", outOfPlace(kind, err))
}

// commit checks the digest of a C message, and adds the message to it.
func (d *Decoder) commit(f *fields, message []byte) error {
	sent := f.bytes("digest", md5.Size)
	if err := f.end(); err != nil {
		return d.wrong("a C message", err)
	}
	if !bytes.Equal(sent, d.sum.Sum(nil)) {
		return &protocol.DigestError{Tid: d.meta.Tid}
	}
	d.sum.Write(message)
	return nil
}

// record reads the fields of an S or B message.
func (d *Decoder) record(f *fields, withBlob bool) error {
	d.rec = zodb.Record{Oid: zodb.Oid(f.id("oid")), Tid: zodb.Tid(f.id("serial")), HasPrev: true}
	f.bytes("version", 0)
	d.rec.DataTxn = zodb.Tid(f.idOrNone("data tid"))
	d.blob.left, d.blob.block = 0, 0
	if withBlob {
		d.blob.left = f.count((d.lim.MaxBlob + blockSize - 1) / blockSize)
		d.rec.Blob, d.rec.BlobSize = &d.blob, zodb.UnknownSize
		if d.blob.left == 0 {
			d.rec.BlobSize = 0
		}
	}
	if err := f.end(); err != nil {
		return d.wrong("a message of a record without a version", err)
	}
	return nil
}

// beginData reads the length of a record's data. A record without any has an empty message.
func (d *Decoder) beginData() error {
	n, err := d.size()
	if err != nil {
		return err
	}
	if n > d.lim.MaxRecord {
		return &protocol.TooLargeError{What: "record", Tid: d.meta.Tid, Oid: d.rec.Oid, Size: n, Max: d.lim.MaxRecord}
	}
	d.data.left = n
	d.rec.Size, d.rec.Data = n, &d.data
	if n == 0 {
		d.rec.Size, d.rec.Data = zodb.NoData, nil
	}
	return nil
}
