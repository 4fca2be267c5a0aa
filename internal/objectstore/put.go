package objectstore

import (
	"context"
	"crypto/md5" // what stores tell of their objects; SHA-256 is what counts
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// Content is what an object has: it may be read more than once. *bytes.Reader and *io.SectionReader are such.
type Content interface {
	io.ReaderAt
	Size() int64
}

type sums struct {
	sha256 [sha256.Size]byte
	md5    [md5.Size]byte
}

// Put stores an object, unless there is another one: see the package's documentation.
func (s *Store) Put(ctx context.Context, key string, content Content) (Object, error) {
	o := Object{Key: key, Size: content.Size(), Digest: true}
	err := s.call(ctx, "put", key, func(c *Call) error {
		sum, err := sumOf(io.NewSectionReader(content, 0, o.Size))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrContent, err)
		}
		o.SHA256 = sum.sha256
		return s.attempt(ctx, c, func(p *progress) error {
			in := newChecked(content, o.Size, sum, p)
			err := s.place.put(p.ctx, key, in)
			if in.err != nil {
				return in.err
			}
			if errors.Is(err, ErrExists) {
				return s.isThis(p, key, o)
			}
			return err
		})
	})
	return o, err
}

// isThis is nil when the store has this very content under the key.
func (s *Store) isThis(p *progress, key string, want Object) error {
	got, err := s.place.stat(p.ctx, key)
	if errors.Is(err, ErrNotExist) { // removed meanwhile, or two uploads at once: the other one is not shown yet
		return fmt.Errorf("%w: it refuses the upload for an object that it does not show", ErrAway)
	}
	if err != nil {
		return err
	}
	if got.Size == want.Size && !got.Digest {
		r, _, err := s.place.read(p.ctx, key, 0, got.Size)
		if err != nil {
			return err
		}
		sum, err := sumOf(p.reader(r))
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		got.SHA256 = sum.sha256
	}
	if got.Size != want.Size || got.SHA256 != want.SHA256 {
		return ErrExists
	}
	return nil
}

func sumOf(r io.Reader) (sums, error) {
	one, two := sha256.New(), md5.New()
	_, err := io.CopyBuffer(io.MultiWriter(one, two), r, make([]byte, burst))
	return sums{[sha256.Size]byte(one.Sum(nil)), [md5.Size]byte(two.Sum(nil))}, err
}

// checked reads content for an upload. At its end it fails, instead of ending, when it has read other bytes than those
// of which the sums are: the upload then fails before anything is stored.
type checked struct {
	io.Reader
	size  int64
	sums  sums
	moved *progress
	err   error // of the content
}

func newChecked(content Content, size int64, want sums, p *progress) *checked {
	c := &checked{size: size, sums: want, moved: p}
	sum := sha256.New()
	from := p.reader(io.NewSectionReader(content, 0, size))
	c.Reader = readerFunc(func(b []byte) (int, error) {
		n, err := from.Read(b)
		sum.Write(b[:n])
		if errors.Is(err, io.EOF) && [sha256.Size]byte(sum.Sum(nil)) != want.sha256 {
			err = errors.New("it has changed meanwhile")
		}
		if err != nil && !errors.Is(err, io.EOF) && p.ctx.Err() == nil {
			c.err = fmt.Errorf("%w: %w", ErrContent, err)
		}
		return n, err
	})
	return c
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
