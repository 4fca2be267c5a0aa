package repozo

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"github.com/zrsd/zrsd/internal/vfs"
)

// blockLen is how much is read at a time, and aheadOf how many blocks the reader may be ahead of the writer.
const (
	blockLen = 1 << 20
	aheadOf  = 4
)

// open returns the content of a piece before gzip.
func (r *repository) open(p *piece) (io.ReadCloser, error) {
	f, err := vfs.OpenPlain(r.disk, r.path(p.name))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	plain := io.NewSectionReader(f, 0, info.Size())
	if !p.zipped() {
		return reading{plain, f}, nil
	}
	z, err := gzip.NewReader(plain)
	if err != nil {
		return nil, errors.Join(&VerifyError{r.path(p.name), "it is no gzip file: " + err.Error()}, f.Close())
	}
	return reading{z, f}, nil
}

type reading struct {
	io.Reader
	io.Closer
}

// A block is a part of a content on its way.
type block struct {
	data []byte
	err  error
}

// stream reads blocks ahead in a goroutine of its own, which ends with the call, and has each of them used.
func stream(ctx context.Context, in io.Reader, use func([]byte) error) error {
	free, full := make(chan []byte, aheadOf), make(chan block, aheadOf)
	for range aheadOf {
		free <- make([]byte, blockLen)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		defer close(full)
		for {
			var data []byte
			select {
			case data = <-free:
			case <-ctx.Done():
				return
			}
			n, err := fill(in, data)
			full <- block{data[:n], err} // there is room for all blocks
			if err != nil {
				return
			}
		}
	}()
	for b := range full {
		if err := use(b.data); err != nil {
			return err
		}
		if b.err != nil {
			return ignoreEnd(b.err)
		}
		free <- b.data[:blockLen]
	}
	return context.Cause(ctx)
}

// fill reads until b is full or an error comes. Other than io.ReadFull it leaves the error as it is: gzip that was cut
// off ends with io.ErrUnexpectedEOF.
func fill(in io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var got int
		got, err = in.Read(b[n:])
		n += got
	}
	return n, err
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// sum reads a content to its end, and returns its length and checksum. to may be nil.
func sum(ctx context.Context, in io.Reader, to io.Writer) (size int64, checksum string, err error) {
	hash := md5.New()
	err = stream(ctx, in, func(b []byte) error {
		size += int64(len(b))
		hashed := make(chan struct{})
		go func() {
			defer close(hashed)
			_, _ = hash.Write(b) // never fails
		}()
		defer func() { <-hashed }()
		if to == nil {
			return nil
		}
		_, err := to.Write(b)
		return err
	})
	return size, hex.EncodeToString(hash.Sum(nil)), err
}

// length reads a content to its end, and returns its length.
func length(ctx context.Context, in io.Reader) (size int64, err error) {
	err = stream(ctx, in, func(b []byte) error { size += int64(len(b)); return nil })
	return size, err
}

// damaged gives an error in a content the name of its file.
func (r *repository) damaged(p *piece, err error) error {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	if corrupt || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) ||
		errors.Is(err, io.ErrUnexpectedEOF) {
		return &VerifyError{r.path(p.name), "its gzip is damaged: " + err.Error()}
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", r.path(p.name), err)
	}
	return nil
}

// A sequential writer has the disk begin with what was written, so that the sync at the end is short.
type sequential struct {
	f         vfs.File
	at, begun int64
}

const writeBackLen = 8 << 20

// Write is io.Writer.
func (w *sequential) Write(b []byte) (int, error) {
	n, err := w.f.WriteAt(b, w.at)
	w.at += int64(n)
	if gathered := w.at - w.begun; gathered >= writeBackLen {
		vfs.WriteBack(w.f, w.begun, gathered)
		w.begun = w.at
	}
	return n, err
}
