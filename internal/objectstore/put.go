package objectstore

import (
	"bytes"
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

// memory is content that does not change while it is stored.
type memory struct{ *bytes.Reader }

// Memory is content that is in memory, and that nobody changes before Put returns nil; after an error of Put nobody
// changes it at all. A directory needs no digest of it before it is written.
func Memory(b []byte) Content { return memory{bytes.NewReader(b)} }

type sums struct {
	sha256 [sha256.Size]byte
	md5    [md5.Size]byte // of content for a bucket
}

// Put stores an object, unless there is another one: see the package's documentation.
func (s *Store) Put(ctx context.Context, key string, content Content) (Object, error) {
	o := Object{Key: key, Size: content.Size(), Digest: true}
	err := s.call(ctx, "put", key, func(c *Call) error {
		sum, err := s.sumBefore(content)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrContent, err)
		}
		return s.attempt(ctx, c, func(p *progress) error {
			in := newChecked(content, o.Size, sum, p)
			err := s.place.put(p.ctx, key, in)
			if in.err != nil {
				return in.err
			}
			o.SHA256 = in.sums.sha256
			if errors.Is(err, ErrExists) {
				return s.isThis(p, key, o)
			}
			return err
		})
	})
	return o, err
}

// sumBefore returns the digests that have to be known before an upload begins; nil: none.
func (s *Store) sumBefore(content Content) (*sums, error) {
	_, steady := content.(memory)
	_, bucket := s.place.(*bucket)
	if steady && !bucket {
		return nil, nil //nolint:nilnil // none
	}
	sum, err := sumOf(io.NewSectionReader(content, 0, content.Size()), bucket)
	return &sum, err
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
		sum, err := sumOf(p.reader(r), false)
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

func sumOf(r io.Reader, withMD5 bool) (sums, error) {
	one, two := sha256.New(), md5.New()
	to := io.Writer(one)
	if withMD5 {
		to = io.MultiWriter(one, two)
	}
	_, err := io.CopyBuffer(to, r, make([]byte, burst))
	return sums{[sha256.Size]byte(one.Sum(nil)), [md5.Size]byte(two.Sum(nil))}, err
}

// checked reads content for an upload. At its end it fails, instead of ending, when it has read other bytes than those
// of which the sums are: the upload then fails before anything is stored. Where they were not known before, it has the
// digest of what it has read at its end.
type checked struct {
	io.Reader
	size  int64
	sums  sums
	moved *progress
	err   error // of the content
}

func newChecked(content Content, size int64, want *sums, p *progress) *checked {
	c := &checked{size: size, moved: p}
	if want != nil {
		c.sums = *want
	}
	sum := sha256.New()
	from := p.reader(io.NewSectionReader(content, 0, size))
	c.Reader = readerFunc(func(b []byte) (int, error) {
		n, err := from.Read(b)
		sum.Write(b[:n])
		if errors.Is(err, io.EOF) {
			err = c.end([sha256.Size]byte(sum.Sum(nil)), want)
		}
		if err != nil && !errors.Is(err, io.EOF) && p.ctx.Err() == nil {
			c.err = fmt.Errorf("%w: %w", ErrContent, err)
		}
		return n, err
	})
	return c
}

// end returns io.EOF where what was read is what it has to be.
func (c *checked) end(got [sha256.Size]byte, want *sums) error {
	switch {
	case want == nil:
		c.sums.sha256 = got
	case got != want.sha256:
		return errors.New("it has changed meanwhile")
	}
	return io.EOF
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
