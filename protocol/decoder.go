package protocol

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// A Decoder reads transactions from a replication stream. It is for one goroutine.
//
// Frames are parsed in the read buffer of 256 KiB, record data and blobs are digested as their reader reads them.
// Nothing is allocated per frame, and what Next and NextRecord return is used again by the call after.
type Decoder struct {
	r   *bufio.Reader
	sum hash.Hash
	lim Limits
	err error // ends everything

	frame fields
	txn   decoded

	digest, sent [md5.Size]byte // scratch
}

// NewDecoder returns a Decoder of what NewEncoder(w, start) writes.
func NewDecoder(r io.Reader, start zodb.Tid, lim Limits) *Decoder {
	d := &Decoder{r: bufio.NewReaderSize(r, bufferSize), sum: md5.New(), lim: lim.WithDefaults()}
	d.frame.init()
	d.txn.init(d)
	d.txn.meta.Tid = start
	seed := start.Bytes()
	d.sum.Write(seed[:])
	return d
}

// Next returns the next transaction, after reading what is left of the one before. Nothing of a transaction may be
// made visible before its NextRecord has returned io.EOF: only then has its digest been found right. The end of the
// stream between two transactions is io.EOF, and within one io.ErrUnexpectedEOF, wrapped. Other errors are
// *DigestError, *FrameError, *TooLargeError and those of the stream. Every error is final.
func (d *Decoder) Next() (zodb.Transaction, error) {
	for d.err == nil && d.txn.open {
		_, err := d.txn.NextRecord()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if d.err != nil {
		return nil, d.err
	}
	if _, err := d.r.Peek(1); err != nil {
		return nil, d.fail(between(err, d.txn.meta.Tid))
	}
	if err := d.txn.begin(); err != nil {
		return nil, d.fail(err)
	}
	return &d.txn, nil
}

// between passes io.EOF on unchanged.
func between(err error, last zodb.Tid) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("replication stream after transaction %v: %w", last, err)
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
	return fmt.Errorf("replication stream in transaction %v: %w", d.txn.meta.Tid, cutShort(err))
}

// next reads a whole frame of at most limit bytes. It is valid until the next read, and not yet digested.
func (d *Decoder) next(limit int64) ([]byte, error) {
	head, err := d.r.Peek(sizeLen)
	if err != nil {
		return nil, d.cut(err)
	}
	n := int64(binary.BigEndian.Uint32(head))
	if n > limit {
		return nil, d.cut(&TooLargeError{What: "frame", Size: n, Max: limit})
	}
	all, err := d.r.Peek(sizeLen + int(n))
	if err != nil {
		return nil, d.cut(err)
	}
	if _, err := d.r.Discard(len(all)); err != nil {
		return nil, d.cut(err)
	}
	return all[sizeLen:], nil
}

// commit checks the digest of a C frame, whose kind has been read, and adds the frame to the running digest.
func (d *Decoder) commit(frame []byte) error {
	sent := d.frame.bytes(d.sent[:0], md5.Size)
	if err := d.frame.end(); err != nil {
		return err
	}
	if !bytes.Equal(sent, d.sum.Sum(d.digest[:0])) {
		return &DigestError{Tid: d.txn.meta.Tid}
	}
	d.sum.Write(frame)
	return nil
}
