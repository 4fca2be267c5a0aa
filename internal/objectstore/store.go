package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/zrsd/zrsd/internal/vfs"
)

// Options of Open. What is zero has the value that is named.
type Options struct {
	AtOnce      int           // objects that are read or written at a time: 4
	Rate        int64         // bytes per second, both ways together: no limit
	Attempts    int           // before an error is returned that time may mend: 5
	Stall       time.Duration // after which an attempt that makes no progress is given up: 30 s
	FirstWait   time.Duration // before the second attempt: 200 ms
	LongestWait time.Duration // 5 s
	Page        int           // objects that one question of a list returns: 1,000
	Observe     func(Call)    // is told of each call when it has ended; it must not wait
	FS          vfs.FS        // for a directory; nil: the real disk
}

// A Call is one call of a Store, with its attempts.
type Call struct {
	Op      string // put, stat, read, list, delete
	Took    time.Duration
	Bytes   int64 // moved, those of failed attempts included
	Retries int
	Err     error
	began   time.Time
}

// An Object is what a store tells of one.
type Object struct {
	Key     string
	Size    int64
	Changed time.Time
	SHA256  [32]byte
	Digest  bool // SHA256 is known
}

// A place is one of the kinds of stores. Its errors are classified.
type place interface {
	put(ctx context.Context, key string, content *checked) error
	stat(ctx context.Context, key string) (Object, error)
	// read returns the size of the whole object, too.
	read(ctx context.Context, key string, from, length int64) (body io.ReadCloser, size int64, err error)
	// list returns a page, and the token of the next one; nil when there is none. A nil token is that of the first.
	list(ctx context.Context, prefix string, token []byte) (page []Object, next []byte, err error)
	remove(ctx context.Context, key string) error
	close() error
}

// A Store is a place of objects. Its methods may be called concurrently.
type Store struct {
	name  string
	place place
	opt   Options
	turns chan struct{}
	pace  *rate.Limiter
}

// Open opens the store at a URL: see the package's documentation. It does not connect: a store that is away now may
// come back.
func Open(ctx context.Context, address string, opt Options) (*Store, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("object store %q: %w", address, err)
	}
	s := &Store{name: u.Redacted(), opt: withDefaults(opt)}
	if at := strings.IndexByte(s.name, '?'); at >= 0 {
		s.name = s.name[:at]
	}
	s.turns = make(chan struct{}, s.opt.AtOnce)
	if s.opt.Rate > 0 {
		s.pace = rate.NewLimiter(rate.Limit(s.opt.Rate), burst)
	}
	if s.place, err = openPlace(ctx, u, s.opt); err != nil {
		return nil, fmt.Errorf("open object store %s: %w", s.name, err)
	}
	return s, nil
}

func withDefaults(opt Options) Options {
	def := Options{AtOnce: 4, Attempts: 5, Stall: 30 * time.Second, FirstWait: 200 * time.Millisecond,
		LongestWait: 5 * time.Second, Page: 1000}
	if opt.AtOnce > 0 {
		def.AtOnce = opt.AtOnce
	}
	if opt.Attempts > 0 {
		def.Attempts = opt.Attempts
	}
	if opt.Stall > 0 {
		def.Stall = opt.Stall
	}
	if opt.FirstWait > 0 {
		def.FirstWait = opt.FirstWait
	}
	if opt.LongestWait > 0 {
		def.LongestWait = opt.LongestWait
	}
	if opt.Page > 0 {
		def.Page = opt.Page
	}
	def.Rate, def.Observe, def.FS = opt.Rate, opt.Observe, opt.FS
	return def
}

func openPlace(ctx context.Context, u *url.URL, opt Options) (place, error) {
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.RawQuery != "" {
			return nil, fmt.Errorf("%w: write file:///folder, with three slashes and without parameters", ErrURL)
		}
		return openDirectory(vfs.OrOS(opt.FS), u.Path, opt.Page)
	case "s3", "gs", "azblob":
		prefix := strings.Trim(u.Path, "/")
		if prefix != "" {
			if err := checkKey(prefix); err != nil {
				return nil, err
			}
			prefix += "/"
		}
		bare := *u
		bare.Path = ""
		return openBucket(ctx, &bare, prefix, opt.Page)
	}
	return nil, fmt.Errorf("%w: scheme %q is not known: s3, gs, azblob and file are", ErrURL, u.Scheme)
}

// ErrURL says that a URL is not that of an object store.
var ErrURL = errors.New("not the URL of an object store")

// String returns the URL without credentials and parameters.
func (s *Store) String() string { return s.name }

// Close closes what is open. No call may be under way.
func (s *Store) Close() error { return s.place.close() }

// Stat returns what the store tells of an object.
func (s *Store) Stat(ctx context.Context, key string) (o Object, err error) {
	err = s.call(ctx, "stat", key, func(c *Call) error {
		return s.attempt(ctx, c, func(p *progress) (err error) {
			o, err = s.place.stat(p.ctx, key)
			return err
		})
	})
	return o, err
}

// Delete removes an object. That there is none is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.call(ctx, "delete", key, func(c *Call) error {
		return s.attempt(ctx, c, func(p *progress) error {
			if err := s.place.remove(p.ctx, key); !errors.Is(err, ErrNotExist) {
				return err
			}
			return nil
		})
	})
}

// List yields the objects whose keys begin with prefix, in the order of their keys. They have no digest. It holds no
// turn between two pages.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for token, more := []byte(nil), true; more; {
			var page []Object
			var next []byte
			err := s.call(ctx, "list", "", func(c *Call) error {
				return s.attempt(ctx, c, func(p *progress) (err error) {
					page, next, err = s.place.list(p.ctx, prefix, token)
					return err
				})
			})
			if err != nil {
				yield(Object{}, err)
				return
			}
			for _, o := range page {
				if !yield(o, nil) {
					return
				}
			}
			more = len(next) > 0 && !bytes.Equal(next, token)
			token = next
		}
	}
}

// call is a call that has ended when do returns.
func (s *Store) call(ctx context.Context, op, key string, do func(c *Call) error) error {
	var call *Call
	err := s.begin(ctx, op, key, func(c *Call) error {
		call = c
		return do(c)
	})
	if err == nil {
		s.end(call, nil)
	}
	return err
}

// begin begins a call. Unless it fails, end is to follow.
func (s *Store) begin(ctx context.Context, op, key string, do func(c *Call) error) error {
	if op != "list" {
		if err := checkKey(key); err != nil {
			return &Error{op, s.name, key, err}
		}
	}
	if err := s.acquire(ctx); err != nil {
		return &Error{op, s.name, key, err}
	}
	c := &Call{Op: op, began: time.Now()}
	if err := do(c); err != nil {
		err = &Error{op, s.name, key, err}
		s.end(c, err)
		return err
	}
	return nil
}

func (s *Store) end(c *Call, err error) {
	s.release()
	if s.opt.Observe != nil {
		c.Took, c.Err = time.Since(c.began), err
		s.opt.Observe(*c)
	}
}
