package zrs

import (
	"bufio"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

const bufferSize = 256 << 10

// errUnknownSize is about a blob that did not come from a storage: those know their sizes.
var errUnknownSize = errors.New("the number of a blob's blocks comes before them, and its size is unknown")

// An Encoder writes transactions to a secondary. It is for one goroutine. Record data and blobs are copied through one
// buffer, from which they are digested and written.
type Encoder struct {
	w       *bufio.Writer
	sum     hash.Hash
	block   []byte
	message []byte
	err     error // after it the stream is torn

	// Garbled is called with a transaction whose extension is no pickle, or too much for a message: it is sent with an
	// empty one. May be nil.
	Garbled func(tid zodb.Tid, err error)
}

// NewEncoder returns an Encoder to w for the transactions after start, the last tid of the secondary's hello.
func NewEncoder(w io.Writer, start zodb.Tid) *Encoder {
	e := &Encoder{w: bufio.NewWriterSize(w, bufferSize), sum: md5.New(), block: make([]byte, blockSize)}
	seed := start.Bytes()
	e.sum.Write(seed[:])
	return e
}

// Encode writes txn with all its records, reading them to their ends; one of status 'u' is read and not written. The
// messages stay in the buffer until it is full or Flush is called. After an error the stream is torn, and every further
// call returns it again; all transactions before have then been written out.
func (e *Encoder) Encode(txn zodb.Transaction) error {
	if e.err == nil && txn.Meta().Status != zodb.StatusUndone {
		if err := e.encode(txn); err != nil {
			e.err = errors.Join(fmt.Errorf("transaction %v: %w", txn.Meta().Tid, err), e.w.Flush())
		}
	}
	return e.err
}

// Flush writes out what is buffered.
func (e *Encoder) Flush() error {
	if e.err == nil {
		e.err = e.w.Flush()
	}
	return e.err
}

func (e *Encoder) encode(txn zodb.Transaction) error {
	if err := e.begin(txn.Meta()); err != nil {
		return err
	}
	for {
		rec, err := txn.NextRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := e.record(rec); err != nil {
			return fmt.Errorf("oid %v: %w", rec.Oid, err)
		}
	}
	return e.send(kindCommit, pickle.Tuple{pickle.Bytes(e.sum.Sum(nil))})
}

// begin sends a T message. An extension may fit into the file and not into a message, where nothing is shared: then it
// is as good as garbled, because an error here would stop this secondary at this transaction for good.
func (e *Encoder) begin(m *zodb.TxnMeta) error {
	content := pickle.Tuple{
		id(m.Tid), string(m.Status), pickle.Bytes(m.User), pickle.Bytes(m.Description), e.extension(m),
	}
	err := e.send(kindTxn, content)
	var limit *pickle.LimitError
	if !errors.As(err, &limit) { // which comes before anything is written
		return err
	}
	content[len(content)-1] = e.garbled(m, err)
	return e.send(kindTxn, content)
}

// garbled returns what is sent for an extension that cannot be.
func (e *Encoder) garbled(m *zodb.TxnMeta, err error) *pickle.Dict {
	if e.Garbled != nil {
		e.Garbled(m.Tid, err)
	}
	return &pickle.Dict{}
}

// extension reads the pickle that a file has, a dictionary in nearly all. What it names travels as a name: a secondary
// makes of it what it would make of the file itself.
func (e *Encoder) extension(m *zodb.TxnMeta) pickle.Value {
	if len(m.Extension) == 0 {
		return &pickle.Dict{}
	}
	v, err := pickle.Load(m.Extension, wireLimits)
	if err != nil {
		return e.garbled(m, err)
	}
	return v
}

// send writes a pickled message.
func (e *Encoder) send(kind string, content pickle.Tuple) error {
	var plain bool
	if e.message, plain = appendPlain(e.message[:0], kind, content); !plain {
		if err := e.pickle(pickle.Tuple{kind, content}); err != nil {
			return err
		}
	}
	return errors.Join(e.size(int64(len(e.message))), e.payload(e.message))
}

// pickle writes into message. What mentions itself cannot be written without a memo, which readers know, too.
func (e *Encoder) pickle(message pickle.Tuple) (err error) {
	e.message, err = pickle.AppendDump(e.message[:0], message, pickle.Proto1Fast, wireLimits)
	var limit *pickle.LimitError
	if errors.As(err, &limit) {
		e.message, err = pickle.AppendDump(e.message[:0], message, pickle.Proto1, wireLimits)
	}
	return err
}

// size writes the length of a message.
func (e *Encoder) size(n int64) error {
	if n > math.MaxUint32 {
		return fmt.Errorf("%d bytes do not fit into a message", n)
	}
	_, err := e.w.Write(binary.BigEndian.AppendUint32(e.w.AvailableBuffer(), uint32(n)))
	return err
}

func (e *Encoder) payload(b []byte) error {
	e.sum.Write(b)
	_, err := e.w.Write(b)
	return err
}

func (e *Encoder) record(rec *zodb.Record) error {
	var dataTxn pickle.Value
	if rec.DataTxn != 0 {
		dataTxn = id(rec.DataTxn)
	}
	kind, content := kindRecord, pickle.Tuple{id(rec.Oid), id(rec.Tid), "", dataTxn}
	if rec.Blob != nil {
		if rec.BlobSize < 0 {
			return errUnknownSize
		}
		kind, content = kindBlob, append(content, (rec.BlobSize+blockSize-1)/blockSize)
	}
	if err := e.send(kind, content); err != nil {
		return err
	}
	size := max(rec.Size, 0)
	if err := errors.Join(e.size(size), e.copy(rec.Data, size)); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if rec.Blob == nil {
		return nil
	}
	for left := rec.BlobSize; left > 0; left -= blockSize {
		n := min(left, blockSize)
		if err := errors.Join(e.size(n), e.copy(rec.Blob, n)); err != nil {
			return fmt.Errorf("blob: %w", err)
		}
	}
	return nil
}

// copy sends n bytes of r as (part of) a message.
func (e *Encoder) copy(r io.Reader, n int64) error {
	for n > 0 {
		b := e.block[:min(n, blockSize)]
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("%d bytes before the end: %w", n, cutShort(err))
		}
		if err := e.payload(b); err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

// cutShort turns the end of a stream, where more was due, into io.ErrUnexpectedEOF.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// The versions.
const (
	V20 = "zrs2.0" // without blobs
	V21 = "zrs2.1" // with blobs
)

// WriteHello sends what a secondary says first: the version, and the last tid that it has, 0 when it has none.
func WriteHello(w io.Writer, version string, last zodb.Tid) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(version)))
	b = append(b, version...)
	b = binary.BigEndian.AppendUint32(b, 8)
	b = binary.BigEndian.AppendUint64(b, uint64(last))
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("sending the hello: %w", err)
	}
	return nil
}

// WriteKeepAlive sends a keep-alive.
func WriteKeepAlive(w io.Writer) error {
	_, err := w.Write(make([]byte, 4))
	return err
}
