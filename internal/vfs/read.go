package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrTooLong says that a file is longer than one of its kind ever is.
var ErrTooLong = errors.New("the file is too long for what it is to be")

// ReadFile returns the content of a file that is never longer than limit bytes; a longer one is ErrTooLong, and is not
// read.
func ReadFile(disk FS, path string, limit int64) ([]byte, error) {
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, the limit is %d", ErrTooLong, path, info.Size(), limit)
	}
	return io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
}
