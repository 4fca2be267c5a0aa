package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cenkalti/backoff/v4"
)

// Read reads length bytes of an object from an offset on; a negative length is all that follows. The reader goes on
// where it was when the store was away for a moment. Until it is closed it has one of the Store's turns.
func (s *Store) Read(ctx context.Context, key string, from, length int64) (io.ReadCloser, error) {
	r := &resuming{s: s, ctx: ctx, key: key, at: from, want: length, waits: s.waits()}
	err := s.begin(ctx, "read", key, func(c *Call) error {
		r.call = c
		return r.open()
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// resuming implements io.ReadCloser.
type resuming struct {
	s     *Store
	ctx   context.Context
	key   string
	at    int64 // in the object
	want  int64 // bytes still to come; negative before it is known
	call  *Call
	waits backoff.BackOff
	tries int // since the last byte

	body   io.ReadCloser // nil: to be opened
	moving *progress
	ended  error
	closed bool
}

// open opens the body at the present offset, as often as it takes.
func (r *resuming) open() error {
	for {
		err := r.openOnce()
		if err == nil {
			return nil
		}
		if err = r.again(err); err != nil {
			return err
		}
	}
}

func (r *resuming) openOnce() error {
	r.moving = r.s.watch(r.ctx)
	if r.want == 0 { // a range of no bytes is none for some stores; that the object is there is still to be known
		_, err := r.s.place.stat(r.moving.ctx, r.key)
		return classify(r.moving.cause(err))
	}
	body, size, err := r.s.place.read(r.moving.ctx, r.key, r.at, r.want)
	if err != nil {
		err = classify(r.moving.cause(err))
		r.moving.stop()
		return err
	}
	r.body = body
	r.moving.pause()
	if left := max(size-r.at, 0); r.want < 0 || r.want > left {
		r.want = left
	}
	return nil
}

// again waits before another attempt, and returns err when there is to be none.
func (r *resuming) again(err error) error {
	r.tries++
	if !IsTemporary(err) || r.tries >= r.s.opt.Attempts {
		return err
	}
	r.call.Retries++
	if waited := waitBeforeRetry(r.ctx, r.waits); waited != nil {
		return errors.Join(err, waited)
	}
	return nil
}

// Read gives what the store gives. io.EOF comes only after all bytes.
func (r *resuming) Read(b []byte) (int, error) {
	if r.ended != nil {
		return 0, r.ended
	}
	n, err := r.read(b)
	if err != nil {
		r.ended = err
	}
	return n, err
}

func (r *resuming) read(b []byte) (int, error) {
	for {
		if r.want == 0 {
			return 0, io.EOF
		}
		if r.body == nil {
			if err := r.open(); err != nil {
				return 0, r.wrap(err)
			}
		}
		r.moving.resume()
		n, err := r.body.Read(b[:min(int64(len(b)), r.want, burst)])
		r.moving.pause()
		if n > 0 {
			r.at, r.want = r.at+int64(n), r.want-int64(n)
			r.call.Bytes += int64(n)
			r.tries = 0
			r.waits.Reset()
			err := r.moving.moved(n)
			r.moving.pause()
			return n, r.wrap(err)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: %d bytes are missing at offset %d", ErrAway, r.want, r.at)
		}
		err = classify(r.moving.cause(err))
		_ = r.drop() // what it says is known already
		if err = r.again(err); err != nil {
			return 0, r.wrap(err)
		}
	}
}

func (r *resuming) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &Error{"read", r.s.name, r.key, err}
}

func (r *resuming) drop() error {
	var err error
	if r.body != nil {
		err = r.body.Close()
		r.body = nil
	}
	r.moving.stop()
	return err
}

// Close ends the call.
func (r *resuming) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.drop()
	failed := r.ended
	if errors.Is(failed, io.EOF) {
		failed = nil
	}
	r.s.end(r.call, failed)
	return err
}
