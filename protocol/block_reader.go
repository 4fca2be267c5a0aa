package protocol

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A blockReader is the content of a run of raw frames: the data of a record, or its blob. It digests what it reads.
type blockReader struct {
	d      *Decoder
	before *blockReader // is skipped first
	left   int64        // of the section
	block  int          // left of the current frame
}

// Read returns an error only when the stream is at its end by it, and io.EOF after the last byte.
func (s *blockReader) Read(p []byte) (int, error) {
	if err := s.ready(); err != nil {
		return 0, err
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.d.r.Read(p[:min(len(p), s.block)])
	s.took(p[:n])
	if err != nil {
		return n, s.d.fail(s.d.cut(err))
	}
	return n, nil
}

// Peek returns the first bytes that are left of the section, n at most, and fewer at the end of a frame, without
// reading them.
func (s *blockReader) Peek(n int) ([]byte, error) {
	if err := s.ready(); err != nil || s.left == 0 {
		return nil, err
	}
	b, err := s.d.r.Peek(min(n, s.block))
	if err != nil {
		return nil, s.d.fail(s.d.cut(err))
	}
	return b, nil
}

// WriteTo writes the section from the read buffer, without a copy between. An error of w's leaves the stream as it is.
func (s *blockReader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		if err := s.ready(); err != nil || s.left == 0 {
			return written, err
		}
		b, err := s.peek()
		if err != nil {
			return written, err
		}
		n, err := w.Write(b)
		s.took(b[:n])
		written += int64(n)
		if _, discardErr := s.d.r.Discard(n); discardErr != nil {
			return written, s.d.fail(s.d.cut(discardErr))
		}
		if err != nil {
			return written, err
		}
	}
}

// skip reads the section to its end.
func (s *blockReader) skip() error {
	_, err := s.WriteTo(io.Discard)
	return err
}

// ready makes sure that what comes next in the stream is content of the section, if any is left.
func (s *blockReader) ready() error {
	if s.d.err != nil {
		return s.d.err
	}
	if s.before != nil {
		if err := s.before.skip(); err != nil {
			return err
		}
	}
	if s.left == 0 || s.block > 0 {
		return nil
	}
	return s.nextBlock()
}

// nextBlock reads the length of a raw frame. All frames of a section but the last have blockSize bytes.
func (s *blockReader) nextBlock() error {
	head, err := s.d.r.Peek(sizeLen)
	if err != nil {
		return s.d.fail(s.d.cut(err))
	}
	want := min(s.left, blockSize)
	if got := int64(binary.BigEndian.Uint32(head)); got != want {
		return s.d.fail(&FrameError{Tid: s.d.txn.meta.Tid, Want: fmt.Sprintf("a raw frame of %d bytes", want),
			Got: fmt.Sprintf("one of %d", got)})
	}
	if _, err := s.d.r.Discard(sizeLen); err != nil {
		return s.d.fail(s.d.cut(err))
	}
	s.block = int(want)
	return nil
}

// peek returns what is buffered of the current frame, at least one byte.
func (s *blockReader) peek() ([]byte, error) {
	if s.d.r.Buffered() == 0 {
		if _, err := s.d.r.Peek(1); err != nil {
			return nil, s.d.fail(s.d.cut(err))
		}
	}
	b, err := s.d.r.Peek(min(s.block, s.d.r.Buffered()))
	if err != nil {
		return nil, s.d.fail(s.d.cut(err))
	}
	return b, nil
}

func (s *blockReader) took(b []byte) {
	s.d.sum.Write(b)
	s.block -= len(b)
	s.left -= int64(len(b))
}
