package commit

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// A file is one without a name: it is gone when it is closed or the process ends. Data are appended to it.
type file struct {
	f    *os.File
	size int64
}

func newFile(dir string) (*file, error) {
	f, err := os.CreateTemp(dir, "zrsd-buffer-")
	if err != nil {
		return nil, fmt.Errorf("making room for a transaction: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("making room for a transaction: %w", err), f.Close())
	}
	return &file{f: f}, nil
}

// Write appends.
func (f *file) Write(b []byte) (int, error) {
	n, err := f.f.WriteAt(b, f.size)
	f.size += int64(n)
	if err != nil {
		err = fmt.Errorf("%w: make room there, or start the server with another temporary folder (TMPDIR)", err)
	}
	return n, err
}

// section reads n bytes from offset at.
func (f *file) section(at, n int64) *io.SectionReader { return io.NewSectionReader(f.f, at, n) }

func (f *file) close() error {
	if f == nil {
		return nil
	}
	return f.f.Close()
}
