package filestorage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Sizes of the fixed parts of a file (see the drawing in the package comment).
const (
	magicLen     = 4
	txnHeaderLen = 23 // tid, length, status, three lengths
	recHeaderLen = 42 // oid, tid, prev, tloc, vlen, plen
	backLen      = 8
	lengthLen    = 8  // the second length, after the records
	statusAt     = 16 // offset of the status in a transaction header
	plenAt       = 34 // offset of the length of the data in a record header
)

// A txnHeader is the fixed part of a transaction. Length counts from the tid to the end of the last record, so the
// transaction occupies Length+8 bytes.
type txnHeader struct {
	Tid    zodb.Tid
	Length uint64
	Status zodb.Status
	ULen   uint16
	DLen   uint16
	ELen   uint16
}

// headerLen is the size of the header with its metadata: the smallest possible Length.
func (h *txnHeader) headerLen() int64 {
	return txnHeaderLen + int64(h.ULen) + int64(h.DLen) + int64(h.ELen)
}

func (h *txnHeader) decode(b []byte) {
	h.Tid = zodb.Tid(binary.BigEndian.Uint64(b))
	h.Length = binary.BigEndian.Uint64(b[8:])
	h.Status = zodb.Status(b[16])
	h.ULen = binary.BigEndian.Uint16(b[17:])
	h.DLen = binary.BigEndian.Uint16(b[19:])
	h.ELen = binary.BigEndian.Uint16(b[21:])
}

func (h *txnHeader) encode(b []byte) {
	binary.BigEndian.PutUint64(b, uint64(h.Tid))
	binary.BigEndian.PutUint64(b[8:], h.Length)
	b[16] = byte(h.Status)
	binary.BigEndian.PutUint16(b[17:], h.ULen)
	binary.BigEndian.PutUint16(b[19:], h.DLen)
	binary.BigEndian.PutUint16(b[21:], h.ELen)
}

// A recHeader is the fixed part of a data record. After it stand PLen bytes of data, or, where PLen is 0, an 8-byte
// back pointer: the offset of an earlier record of the same oid whose data this revision has, 0 for no data.
type recHeader struct {
	Oid  zodb.Oid
	Tid  zodb.Tid
	Prev int64 // offset of the record that was current before this transaction; 0 for none
	Tloc int64 // offset of this transaction's header
	VLen uint16
	PLen uint64
}

// length is the size of the whole record. It is not to be trusted before PLen has been checked against the transaction.
func (r *recHeader) length() int64 {
	if r.PLen == 0 {
		return recHeaderLen + backLen
	}
	return recHeaderLen + int64(r.PLen)
}

func (r *recHeader) decode(b []byte) {
	r.Oid = zodb.Oid(binary.BigEndian.Uint64(b))
	r.Tid = zodb.Tid(binary.BigEndian.Uint64(b[8:]))
	r.Prev = int64(binary.BigEndian.Uint64(b[16:]))
	r.Tloc = int64(binary.BigEndian.Uint64(b[24:]))
	r.VLen = binary.BigEndian.Uint16(b[32:])
	r.PLen = binary.BigEndian.Uint64(b[34:])
}

func (r *recHeader) encode(b []byte) {
	binary.BigEndian.PutUint64(b, uint64(r.Oid))
	binary.BigEndian.PutUint64(b[8:], uint64(r.Tid))
	binary.BigEndian.PutUint64(b[16:], uint64(r.Prev))
	binary.BigEndian.PutUint64(b[24:], uint64(r.Tloc))
	binary.BigEndian.PutUint16(b[32:], r.VLen)
	binary.BigEndian.PutUint64(b[34:], r.PLen)
}

// readFull fills b from pos. A file that ends before is an io.ErrUnexpectedEOF.
func readFull(file vfs.File, b []byte, pos int64) error {
	n, err := file.ReadAt(b, pos)
	if n == len(b) {
		return nil
	}
	return notRead(file, pos+int64(n), pos+int64(len(b)), err)
}

// notRead says why a file was not read from pos to end. Where the file is long enough it is an *UnreadableError.
func notRead(file vfs.File, pos, end int64, err error) error {
	var corrupt *zodb.CorruptError
	switch {
	case errors.Is(err, fs.ErrClosed):
		err = zodb.ErrClosed
	case errors.As(err, &corrupt):
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
		if info, failed := vfs.LookAt(file); failed == nil && info.Size() >= end {
			return &UnreadableError{File: file.Name(), Pos: pos, Err: err}
		}
	default:
		return &UnreadableError{File: file.Name(), Pos: pos, Err: err}
	}
	return fmt.Errorf("read %s at %d: %w", file.Name(), pos, err)
}
