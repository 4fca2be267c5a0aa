// Package zlibrecord reads and writes records as zc.zlibstorage has them: those that become shorter by it are a zlib
// stream after two bytes that no pickle begins with.
//
//	.z  zlib stream
//
// Records of blobs are too short to be compressed, so they are recognised as without it.
package zlibrecord

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
)

const (
	prefix   = ".z"
	shortest = 20 // of the records that zc.zlibstorage leaves alone
)

// Limit is the default limit for the size of an unpacked record.
const Limit = 256 << 20

// Is reports whether a record is compressed.
func Is(record []byte) bool { return bytes.HasPrefix(record, []byte(prefix)) }

// A TooLargeError says that a record unpacks to more than is allowed. It was not unpacked further.
type TooLargeError struct{ packed, limit int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf(
		"a compressed record of %d bytes unpacks to more than the %d that are allowed",
		e.packed,
		e.limit,
	)
}

// Unpack returns what is in a record, at most limit bytes: the record itself when it is not compressed.
func Unpack(record []byte, limit int64) ([]byte, error) {
	if !Is(record) {
		return record, nil
	}
	r, err := zlib.NewReader(bytes.NewReader(record[len(prefix):]))
	if err != nil {
		return nil, fmt.Errorf("unpacking a compressed record: %w", err)
	}
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, limit+1)) // to the end, where the checksum is
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpacking a compressed record: %w", err)
	case n > limit:
		return nil, &TooLargeError{int64(len(record)), limit}
	}
	return out.Bytes(), nil
}

// Head returns at most limit bytes of what is in a record, of which only the beginning may be given.
func Head(record []byte, limit int64) []byte {
	if !Is(record) {
		return record[:min(int64(len(record)), limit)]
	}
	r, err := zlib.NewReader(bytes.NewReader(record[len(prefix):]))
	if err != nil {
		return nil
	}
	head, _ := io.ReadAll(io.LimitReader(r, limit)) // up to where the record is cut, or damaged
	return head
}

// Pack compresses a record where that makes it shorter.
func Pack(record []byte) []byte {
	if len(record) <= shortest || Is(record) {
		return record
	}
	var out bytes.Buffer
	out.WriteString(prefix)
	w := zlib.NewWriter(&out)
	_, _ = w.Write(record) // into memory
	_ = w.Close()
	if out.Len() < len(record) {
		return out.Bytes()
	}
	return record
}
