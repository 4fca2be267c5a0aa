package verify

import (
	"context"
	"fmt"
	"io/fs"
	"sync"

	"github.com/zrsd/zrsd/internal/vfs"
)

const (
	chunkLen = 1 << 20 // read at a time; whole blocks
	ahead    = 2       // chunks that wait to be used
)

// A disk is one on which a data file is read by one reader that asks at rising offsets: all of the file is read in
// order, ahead of the questions, and its blocks are summed up. Everything else on it is as on the one behind it.
type disk struct {
	vfs.FS
	path  string // of the data file
	open  func(f vfs.File) (*reader, error)
	opens *reader // the last one opened
}

func (d *disk) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err != nil || path != d.path {
		return f, err
	}
	r, err := d.open(f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	d.opens = r
	return r, nil
}

// A chunk is a part of the file that was read.
type chunk struct {
	at  int64
	buf []byte
	err error
}

func (c *chunk) end() int64 { return c.at + int64(len(c.buf)) }

// A reader is an open data file. ReadAt is for one goroutine.
type reader struct {
	vfs.File
	info fs.FileInfo // of the file when it was opened
	size int64

	chunks <-chan chunk
	free   chan []byte
	stop   context.CancelFunc
	over   sync.WaitGroup

	before, now chunk // the last two
	err         error // why there are no more
}

// newReader begins to read a file up to size. each is called with each chunk, by the goroutine that reads.
func newReader(ctx context.Context, f vfs.File, info fs.FileInfo, size int64, thread func(func()), pace *pace,
	each func(at int64, b []byte)) *reader {
	ctx, stop := context.WithCancel(ctx)
	chunks := make(chan chunk, ahead)
	r := &reader{File: f, info: info, size: size, chunks: chunks, free: make(chan []byte, ahead+4), stop: stop}
	r.over.Go(func() {
		thread(func() {
			defer close(chunks)
			r.fill(ctx, pace, chunks, each)
		})
	})
	return r
}

// fill reads the file from the front to its end.
func (r *reader) fill(ctx context.Context, pace *pace, chunks chan<- chunk, each func(int64, []byte)) {
	for at := int64(0); at < r.size; {
		c := chunk{at: at, buf: r.buffer()}
		c.buf = c.buf[:min(chunkLen, r.size-at)]
		if c.err = pace.spend(ctx, int64(len(c.buf))); c.err == nil {
			c.err = readAll(r.File, c.buf, at)
		}
		if c.err == nil {
			each(at, c.buf)
		}
		select {
		case chunks <- c:
		case <-ctx.Done():
			return
		}
		if c.err != nil {
			return
		}
		at = c.end()
	}
}

// An unreadableError says that the disk does not give what is in a file.
type unreadableError struct {
	at  int64
	err error
}

func (e *unreadableError) Error() string { return fmt.Sprintf("at %d: %v", e.at, e.err) }
func (e *unreadableError) Unwrap() error { return e.err }

// sector is how much is read at a time to find out which part of a chunk cannot be read.
const sector = 4 << 10

// readAll fills b from pos. The error is an *unreadableError with the place from where that is not possible.
func readAll(f vfs.File, b []byte, pos int64) error {
	if _, err := f.ReadAt(b, pos); err == nil {
		return nil
	}
	for len(b) > 0 {
		n := min(len(b), sector)
		if _, err := f.ReadAt(b[:n], pos); err != nil {
			return &unreadableError{pos, err}
		}
		b, pos = b[n:], pos+int64(n)
	}
	return nil // it was possible at the second attempt
}

func (r *reader) buffer() []byte {
	select {
	case b := <-r.free:
		return b[:chunkLen]
	default:
		return make([]byte, chunkLen)
	}
}

// ReadAt reads what was read ahead. What lies elsewhere is read from the file, and small questions that lead far ahead
// are, too: they are about the end of a transaction whose middle will be asked for next.
func (r *reader) ReadAt(b []byte, pos int64) (n int, err error) {
	for n < len(b) {
		at := pos + int64(n)
		switch {
		case r.now.at <= at && at < r.now.end():
			n += copy(b[n:], r.now.buf[at-r.now.at:])
		case r.before.at <= at && at < r.before.end():
			n += copy(b[n:], r.before.buf[at-r.before.at:])
		case at == r.now.end() && at < r.size, at > r.now.end() && len(b) >= bulk:
			if err := r.advance(); err != nil {
				return n, err
			}
		default:
			m, err := r.File.ReadAt(b[n:], at)
			return n + m, err
		}
	}
	return n, nil
}

// bulk is the length from which a read is one of the file in its order.
const bulk = 4 << 10

// advance takes the next chunk.
func (r *reader) advance() error {
	if r.err != nil {
		return r.err
	}
	c, more := <-r.chunks
	if !more {
		c.err = context.Canceled
	}
	if r.err = c.err; r.err != nil {
		return r.err
	}
	if r.before.buf != nil {
		select {
		case r.free <- r.before.buf:
		default:
		}
	}
	r.before, r.now = r.now, c
	return nil
}

// Stat has the size up to which the file is read.
func (r *reader) Stat() (fs.FileInfo, error) { return sized{r.info, r.size}, nil }

type sized struct {
	fs.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }

// Close ends the reading.
func (r *reader) Close() error {
	r.stop()
	r.over.Wait()
	return r.File.Close()
}
