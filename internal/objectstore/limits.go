package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/time/rate"
)

// burst is how many bytes move at once under a rate.
const burst = 256 << 10

// acquire waits for the turn of one object.
func (s *Store) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case s.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Store) release() { <-s.turns }

// A progress ends an attempt that has stood still for too long, and keeps the rate.
type progress struct {
	ctx   context.Context
	pace  *rate.Limiter // nil: no limit
	timer *time.Timer
	wait  time.Duration
	end   context.CancelCauseFunc
	bytes atomic.Int64
}

// watch begins an attempt. Its context ends when nothing has moved for stall.
func (s *Store) watch(ctx context.Context) *progress {
	ctx, end := context.WithCancelCause(ctx)
	p := &progress{ctx: ctx, pace: s.pace, wait: s.opt.Stall, end: end}
	p.timer = time.AfterFunc(p.wait, func() {
		end(&stalledError{p.wait})
	})
	return p
}

// A stalledError says that a store did not answer, or stopped in the middle.
type stalledError struct{ wait time.Duration }

func (e *stalledError) Error() string {
	return fmt.Sprintf("%v: nothing has moved for %v", ErrAway, e.wait)
}
func (e *stalledError) Unwrap() error { return ErrAway }

// Timeout is net.Error's.
func (e *stalledError) Timeout() bool { return true }

// moved waits for the rate, and notes that n bytes have moved. Waiting for the rate is no standstill.
func (p *progress) moved(n int) error {
	p.bytes.Add(int64(n))
	if p.pace != nil {
		p.timer.Stop()
		if err := p.pace.WaitN(p.ctx, n); err != nil {
			return p.cause(err)
		}
	}
	p.timer.Reset(p.wait)
	return nil
}

// pause says that nothing is expected to move until resume.
func (p *progress) pause() { p.timer.Stop() }

func (p *progress) resume() { p.timer.Reset(p.wait) }

// cause is why the attempt has ended, where it was ended from here.
func (p *progress) cause(err error) error {
	if err != nil && p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	return err
}

func (p *progress) stop() {
	p.timer.Stop()
	p.end(nil)
}

func (p *progress) reader(r io.Reader) io.Reader { return &movingReader{p, r} }

type movingReader struct {
	p *progress
	r io.Reader
}

func (m *movingReader) Read(b []byte) (int, error) {
	n, err := m.r.Read(b[:min(len(b), burst)])
	if n > 0 {
		if e := m.p.moved(n); e != nil {
			return 0, e
		}
	}
	return n, err
}

// attempt calls do until it succeeds, fails for good, or has been tried often enough.
func (s *Store) attempt(ctx context.Context, c *Call, do func(p *progress) error) error {
	b := backoff.WithContext(backoff.WithMaxRetries(s.waits(), uint64(s.opt.Attempts-1)), ctx)
	return backoff.Retry(func() error {
		p := s.watch(ctx)
		defer p.stop()
		err := classify(p.cause(do(p)))
		c.Bytes += p.bytes.Load()
		if err != nil && !IsTemporary(err) {
			return backoff.Permanent(err)
		}
		if err != nil {
			c.Retries++
		}
		return err
	}, b)
}

func (s *Store) waits() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(s.opt.FirstWait),
		backoff.WithMaxInterval(s.opt.LongestWait),
		backoff.WithMaxElapsedTime(0), // the number of attempts is the limit
	)
}

// waitBeforeRetry waits once more; false when the context has ended.
func waitBeforeRetry(ctx context.Context, b backoff.BackOff) error {
	wait := b.NextBackOff()
	if wait == backoff.Stop {
		return errors.New("no attempt is left")
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
