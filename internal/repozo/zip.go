package repozo

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/pgzip"
)

// Bounds of what is compressed at a time: one block on each core, and each takes a few megabytes.
const (
	zipBlockLen = 1 << 20
	maxZipCores = 16
)

// A zipper compresses on all cores into one gzip stream. Close waits until all of it was written.
type zipper struct {
	*pgzip.Writer
	out *stickyWriter
}

func newZipper(to io.Writer) (*zipper, error) {
	out := &stickyWriter{to: to}
	z := pgzip.NewWriter(out)
	if err := z.SetConcurrency(zipBlockLen, min(runtime.GOMAXPROCS(0), maxZipCores)); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return &zipper{z, out}, nil
}

// Write is io.Writer.
func (z *zipper) Write(b []byte) (int, error) {
	if err := z.out.failed(); err != nil {
		return 0, err
	}
	return z.Writer.Write(b)
}

// Close writes the rest.
func (z *zipper) Close() error { return errors.Join(z.Writer.Close(), z.out.failed()) }

// A stickyWriter writes nothing more after an error, and tells it later: a pgzip.Writer that hears of one never
// ends its goroutine.
type stickyWriter struct {
	to  io.Writer
	mu  sync.Mutex
	err error
}

// Write is io.Writer.
func (s *stickyWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		_, s.err = s.to.Write(b)
	}
	return len(b), nil
}

func (s *stickyWriter) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
