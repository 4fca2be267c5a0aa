package filestorage

import (
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/internal/vfs"
)

// outputLen is how much of a transaction is collected before it goes to the file.
const outputLen = 512 << 10

// An output writes a transaction after the committed end of the file, through a buffer that is reused for the next
// one.
type output struct {
	file    vfs.File
	buf     []byte // not yet written
	off     int64  // where it goes
	touched bool   // something was, or may have been, written to the file since start

	own func() error // says, before the first byte goes there, whether the file may be written; nil: it may
}

// start begins anew at pos.
func (o *output) start(pos int64) {
	if o.buf == nil {
		o.buf = make([]byte, 0, outputLen)
	}
	o.buf, o.off, o.touched = o.buf[:0], pos, false
}

// pos is the offset after what was written last.
func (o *output) pos() int64 { return o.off + int64(len(o.buf)) }

func (o *output) Write(b []byte) (int, error) {
	for done := 0; ; {
		n := copy(o.buf[len(o.buf):cap(o.buf)], b[done:])
		o.buf = o.buf[:len(o.buf)+n]
		if done += n; done == len(b) {
			return done, nil
		}
		if err := o.flush(); err != nil {
			return done, err
		}
	}
}

// copyN writes the next n bytes of r, read straight into the buffer.
func (o *output) copyN(r io.Reader, n int64) error {
	for n > 0 {
		if len(o.buf) == cap(o.buf) {
			if err := o.flush(); err != nil {
				return err
			}
		}
		room := o.buf[len(o.buf):cap(o.buf)]
		got, err := r.Read(room[:min(int64(len(room)), n)])
		o.buf = o.buf[:len(o.buf)+got]
		if n -= int64(got); n == 0 {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%d bytes are missing: %w", n, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// patch overwrites what was written at pos before, wherever it is by now.
func (o *output) patch(b []byte, pos int64) error {
	if pos >= o.off {
		copy(o.buf[pos-o.off:], b)
		return nil
	}
	if n := o.off - pos; n < int64(len(b)) {
		copy(o.buf, b[n:])
		b = b[:n]
	}
	_, err := o.file.WriteAt(b, pos)
	return err
}

// flush writes the buffer to the file.
func (o *output) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	if !o.touched && o.own != nil {
		if err := o.own(); err != nil {
			return err
		}
	}
	o.touched = true
	if _, err := o.file.WriteAt(o.buf, o.off); err != nil {
		return fmt.Errorf("write %d bytes to %s at %d: %w", len(o.buf), o.file.Name(), o.off, err)
	}
	o.off += int64(len(o.buf))
	o.buf = o.buf[:0]
	return nil
}
