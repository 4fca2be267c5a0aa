package protocol

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
)

const sizeLen = 4 // the length in front of every message

// WriteSized writes payload as one sized message: its length in 4 bytes, big-endian, then the payload.
func WriteSized(w io.Writer, payload []byte) error {
	msg := make([]byte, sizeLen, sizeLen+len(payload))
	binary.BigEndian.PutUint32(msg, uint32(len(payload)))
	if _, err := w.Write(append(msg, payload...)); err != nil {
		return fmt.Errorf("writing a message of %d bytes: %w", len(payload), err)
	}
	return nil
}

// ReadSized reads one sized message into buf, which grows where it is too small, and returns the payload. A message of
// more than limit bytes is a *TooLargeError, found before any of it is read. The end of r between two messages is
// io.EOF, and within one io.ErrUnexpectedEOF.
func ReadSized(r io.Reader, buf []byte, limit int) ([]byte, error) {
	buf = slices.Grow(buf[:0], sizeLen)[:sizeLen]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(buf))
	if n > int64(limit) {
		return nil, &TooLargeError{What: "message", Size: n, Max: int64(limit)}
	}
	buf = slices.Grow(buf[:0], int(n))[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, cutShort(err)
	}
	return buf, nil
}

// cutShort turns the end of a stream, where more was due, into io.ErrUnexpectedEOF.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ReceiveSized is ReadSized from a connection, until ctx ends.
func ReceiveSized(ctx context.Context, conn net.Conn, limit int) (payload []byte, err error) {
	err = withContext(ctx, conn.SetReadDeadline, func() error {
		payload, err = ReadSized(conn, nil, limit)
		return err
	})
	return payload, err
}
