package zrs

import (
	"fmt"
	"io"
)

// data reads the data message of a record. It digests what it reads.
type data struct {
	d    *Decoder
	left int64
}

func (s *data) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.d.take(p, s.left)
	s.left -= n
	return int(n), err
}

// take reads and digests at most limit bytes of a message.
func (d *Decoder) take(p []byte, limit int64) (int64, error) {
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.r.Read(p[:min(int64(len(p)), limit)])
	d.sum.Write(p[:n])
	if err != nil {
		err = d.fail(d.cut(err))
	}
	return int64(n), err
}

// blob reads the blocks of a blob, past what is left of the data before them. It digests what it reads.
type blob struct {
	d     *Decoder
	left  int64 // blocks that have not begun
	block int64 // left of the current one
}

func (s *blob) Read(p []byte) (int, error) {
	if s.d.data.left > 0 {
		if _, err := io.Copy(io.Discard, &s.d.data); err != nil {
			return 0, err
		}
	}
	if s.block == 0 {
		if s.left == 0 {
			return 0, io.EOF
		}
		if err := s.next(); err != nil {
			return 0, s.d.fail(err)
		}
	}
	n, err := s.d.take(p, s.block)
	s.block -= n
	return int(n), err
}

// next reads the length of a block. All but the last are full.
func (s *blob) next() error {
	if s.d.err != nil {
		return s.d.err
	}
	n, err := s.d.size()
	if err != nil {
		return err
	}
	s.left--
	if n > blockSize || n == 0 || n < blockSize && s.left > 0 {
		return s.d.wrong(fmt.Sprintf("a block of a blob, of %d bytes unless it is the last", blockSize),
			fmt.Sprintf("one of %d, with %d to come", n, s.left))
	}
	s.block = n
	return nil
}
