package protocol

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/zrsd/zrsd/zodb"
)

// An Encoder writes transactions to a replication stream. It is for one goroutine.
//
// Frames are built in one buffer of 256 KiB: record data and blobs are read from the transaction straight into it,
// digested there and written from there. Nothing is allocated per frame.
type Encoder struct {
	out frameBuffer
	mp  *msgpack.Encoder // into out
	sum hash.Hash
	bad error // from building a frame
	err error // after it the stream is torn

	id     [idLen]byte // scratch
	digest [md5.Size]byte
}

// NewEncoder returns an Encoder to w for the transactions after start, the tid of the replication stream's header.
func NewEncoder(w io.Writer, start zodb.Tid) *Encoder {
	e := &Encoder{out: frameBuffer{w: w, buf: make([]byte, 0, bufferSize)}, sum: md5.New()}
	e.mp = msgpack.NewEncoder(&e.out)
	seed := start.Bytes()
	e.sum.Write(seed[:])
	return e
}

// Encode writes txn with all its records, reading them to their ends. The frames stay in the buffer until it is full or
// Flush is called. After an error, txn's or the stream's, the stream is torn and every further call returns it again;
// all transactions before have then been written out.
func (e *Encoder) Encode(txn zodb.Transaction) error {
	if e.err != nil {
		return e.err
	}
	if e.err = e.encode(txn); e.err != nil {
		e.err = errors.Join(e.err, e.out.flushWhole())
	}
	return e.err
}

// Flush writes out what is buffered.
func (e *Encoder) Flush() error {
	if e.err == nil {
		e.err = e.out.flush()
	}
	return e.err
}

func (e *Encoder) encode(txn zodb.Transaction) error {
	m := txn.Meta()
	if err := e.txnFrame(m); err != nil {
		return fmt.Errorf("transaction %v: %w", m.Tid, err)
	}
	for {
		rec, err := txn.NextRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("transaction %v: %w", m.Tid, err)
		}
		if err := e.record(rec); err != nil {
			return fmt.Errorf("transaction %v: oid %v: %w", m.Tid, rec.Oid, err)
		}
	}
	return e.commitFrame()
}

func (e *Encoder) txnFrame(m *zodb.TxnMeta) error {
	if err := checkMeta(m); err != nil {
		return err
	}
	if err := e.begin(frameTxn, lenTxn); err != nil {
		return err
	}
	e.number(uint64(m.Tid))
	e.check(e.mp.EncodeUint(uint64(m.Status)))
	e.bytes(m.User)
	e.bytes(m.Description)
	e.bytes(m.Extension)
	return e.end()
}

func (e *Encoder) record(rec *zodb.Record) error {
	if err := e.recordFrame(rec); err != nil {
		return err
	}
	if err := e.blocks(rec.Data, rec.Size); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if rec.Blob == nil {
		return nil
	}
	if err := e.blocks(rec.Blob, rec.BlobSize); err != nil {
		return fmt.Errorf("blob: %w", err)
	}
	return nil
}

func (e *Encoder) recordFrame(rec *zodb.Record) error {
	kind, fields := frameRecord, lenRecord
	switch {
	case rec.SharedBlob:
		kind, fields = frameShared, lenBlob
	case rec.Blob != nil:
		kind, fields = frameBlob, lenBlob
	}
	if err := e.begin(kind, fields); err != nil {
		return err
	}
	e.number(uint64(rec.Oid))
	e.number(uint64(rec.Tid))
	if rec.DataTxn == 0 {
		e.check(e.mp.EncodeNil())
	} else {
		e.number(uint64(rec.DataTxn))
	}
	e.check(e.mp.EncodeBool(rec.HasPrev))
	e.check(e.mp.EncodeInt(rec.Size))
	if fields == lenBlob {
		e.check(e.mp.EncodeInt(rec.BlobSize))
	}
	return e.end()
}

// blocks sends size bytes from r as raw frames.
func (e *Encoder) blocks(r io.Reader, size int64) error {
	for left := size; left > 0; {
		n := int(min(left, blockSize))
		if err := e.out.reserve(n); err != nil {
			return err
		}
		if err := e.out.fill(r, n); err != nil {
			return fmt.Errorf("reading %d bytes, %d before the end: %w", size, left, cutShort(err))
		}
		e.out.finish(e.sum)
		left -= int64(n)
	}
	return nil
}

func (e *Encoder) commitFrame() error {
	digest := e.sum.Sum(e.digest[:0])
	if err := e.begin(frameCommit, lenCommit); err != nil {
		return err
	}
	e.bytes(digest)
	err := e.end()
	e.out.whole = len(e.out.buf)
	return err
}

// begin, number, bytes, check and end build one msgpack frame.
func (e *Encoder) begin(kind string, fields int) error {
	if err := e.out.reserve(maxFrame); err != nil {
		return err
	}
	e.check(e.mp.EncodeArrayLen(fields))
	e.check(e.mp.EncodeString(kind))
	return nil
}

func (e *Encoder) number(id uint64) {
	binary.BigEndian.PutUint64(e.id[:], id)
	e.bytes(e.id[:])
}

func (e *Encoder) bytes(b []byte) {
	e.check(e.mp.EncodeBytesLen(len(b)))
	_, err := e.out.Write(b)
	e.check(err)
}

func (e *Encoder) check(err error) {
	if e.bad == nil {
		e.bad = err
	}
}

func (e *Encoder) end() error {
	e.out.finish(e.sum)
	return e.bad
}

// checkMeta refuses what a frame, or a file, could not carry.
func checkMeta(m *zodb.TxnMeta) error {
	for _, f := range []struct {
		name string
		b    []byte
	}{{"user", m.User}, {"description", m.Description}, {"extension", m.Extension}} {
		if len(f.b) > zodb.MaxMetaLen {
			return &zodb.TooLongError{Field: f.name, Len: len(f.b)}
		}
	}
	if !streamable(m.Status) {
		return fmt.Errorf("status %q cannot be streamed", byte(m.Status))
	}
	return nil
}
