package protocol

import (
	"encoding/binary"
	"fmt"
	"hash"
	"io"
)

// A frameBuffer collects sized messages and writes them out when it is full. A frame is built in place: reserve, then
// append its payload, then seal. It is the io.Writer of the msgpack encoder, so a frame is copied nowhere.
type frameBuffer struct {
	w     io.Writer
	buf   []byte // len is what is filled
	start int    // of the frame being built
	whole int    // end of the last complete transaction
}

// reserve begins a frame whose payload will have at most n bytes.
func (f *frameBuffer) reserve(n int) error {
	if cap(f.buf)-len(f.buf) < sizeLen+n {
		if err := f.flush(); err != nil {
			return err
		}
	}
	f.start = len(f.buf)
	f.buf = f.buf[:f.start+sizeLen]
	return nil
}

// finish ends the frame: it fills in the length and adds the payload to the running digest.
func (f *frameBuffer) finish(sum hash.Hash) {
	payload := f.buf[f.start+sizeLen:]
	binary.BigEndian.PutUint32(f.buf[f.start:], uint32(len(payload)))
	sum.Write(payload) // a hash never fails
}

// fill appends exactly n bytes from r, within the room reserved.
func (f *frameBuffer) fill(r io.Reader, n int) error {
	at := len(f.buf)
	f.buf = f.buf[:at+n]
	_, err := io.ReadFull(r, f.buf[at:])
	return err
}

func (f *frameBuffer) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	_, err := f.w.Write(f.buf)
	f.buf, f.whole = f.buf[:0], 0
	if err != nil {
		return fmt.Errorf("writing to the replication stream: %w", err)
	}
	return nil
}

// flushWhole writes out what is buffered of complete transactions, and drops the rest.
func (f *frameBuffer) flushWhole() error {
	f.buf = f.buf[:f.whole]
	return f.flush()
}

// Write appends within the room reserved. It never fails.
func (f *frameBuffer) Write(b []byte) (int, error) {
	f.buf = append(f.buf, b...)
	return len(b), nil
}

// WriteByte appends within the room reserved. It never fails.
func (f *frameBuffer) WriteByte(b byte) error {
	f.buf = append(f.buf, b)
	return nil
}
