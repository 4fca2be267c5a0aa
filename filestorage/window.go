package filestorage

import (
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/internal/vfs"
)

// windowLen is how much a window reads at a time.
const windowLen = 256 << 10

// A window reads a file through a buffer that is moved on demand, and never reads what is skipped.
type window struct {
	file vfs.File
	size int64
	at   int64  // offset of buf
	buf  []byte // what has been read
}

// read fills b from pos, and moves the window there when b is not inside it.
func (w *window) read(b []byte, pos int64) error {
	if !w.has(len(b), pos) && len(b) <= windowLen {
		if err := w.move(pos); err != nil && !w.has(len(b), pos) {
			return err
		}
	}
	return w.peek(b, pos)
}

// peek fills b from pos and leaves the window where it is.
func (w *window) peek(b []byte, pos int64) error {
	if w.has(len(b), pos) {
		copy(b, w.buf[pos-w.at:])
		return nil
	}
	_, err := w.load(b, pos)
	return err
}

func (w *window) has(n int, pos int64) bool {
	return pos >= w.at && pos+int64(n) <= w.at+int64(len(w.buf))
}

// move reads from pos on. With an error the window has what could be read.
func (w *window) move(pos int64) error {
	ahead := max(min(windowLen, w.size-pos), 0)
	if int64(cap(w.buf)) < ahead {
		w.buf = make([]byte, ahead)
	}
	w.at, w.buf = pos, w.buf[:ahead]
	n, err := w.load(w.buf, pos)
	w.buf = w.buf[:n]
	return err
}

// load fills b from pos, or returns how much it could.
func (w *window) load(b []byte, pos int64) (int, error) {
	n, err := w.file.ReadAt(b, pos)
	switch {
	case n == len(b):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, fmt.Errorf("read %s at %d: %w", w.file.Name(), pos, err)
	}
	return n, notRead(w.file, pos+int64(n), pos+int64(len(b)), err)
}

// ReadAt is io.ReaderAt; a read beyond the size fails as a whole.
func (w *window) ReadAt(b []byte, pos int64) (int, error) {
	if err := w.read(b, pos); err != nil {
		return 0, err
	}
	return len(b), nil
}

// An ahead is a file for one reader who asks at mostly rising offsets. Where a question is close after the one before
// it, as among records of one time, much is read at once; where not, only what is asked for.
type ahead struct {
	vfs.File
	end int64  // nothing after it is read ahead
	at  int64  // offset of buf
	buf []byte // what was read ahead
}

// aheadGap is how far after the last question one still counts as close.
const aheadGap = 32 << 10

func (f *ahead) ReadAt(b []byte, off int64) (int, error) {
	end := f.at + int64(len(f.buf))
	last := off + int64(len(b))
	switch {
	case off >= f.at && last <= end:
		return copy(b, f.buf[off-f.at:]), nil
	case off < f.at || off > end+aheadGap || len(b) > windowLen/2 || f.end-off < int64(len(b)):
		f.at, f.buf = last, f.buf[:0]
		return f.File.ReadAt(b, off)
	}
	if cap(f.buf) == 0 {
		f.buf = make([]byte, windowLen)
	}
	f.at, f.buf = off, f.buf[:min(windowLen, f.end-off)]
	if _, err := f.File.ReadAt(f.buf, off); err != nil {
		f.buf = f.buf[:0]
		return 0, err
	}
	return copy(b, f.buf), nil
}
