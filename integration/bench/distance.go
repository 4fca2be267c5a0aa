package main

import (
	"context"
	"errors"
	"os"
	"time"
)

// distance compares catching up with set 1 over a round trip of 50 ms with the same transfer through the same delay
// line without a delay.
func (b *bench) distance(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.firstSet())
	if err != nil {
		return err
	}
	var near, far []time.Duration
	for range b.runs {
		d, err := b.over(ctx, s, 0)
		if err != nil {
			return err
		}
		near = append(near, d)
		if d, err = b.over(ctx, s, 25*time.Millisecond); err != nil {
			return err
		}
		far = append(far, d)
	}
	b.report.add("no delay", mb(s.bytes, middle(near)), "MB/s")
	b.report.add("25 ms each way", mb(s.bytes, middle(far)), "MB/s")
	b.report.atMost("time in units of that without delay", middle(far).Seconds()/middle(near).Seconds(), "times", 1.2)
	return nil
}

func (b *bench) over(ctx context.Context, s *source, delay time.Duration) (took time.Duration, err error) {
	p, addr, err := b.serve(ctx, s)
	if err != nil {
		return 0, err
	}
	defer p.Kill() //nolint:errcheck // it has nothing to lose
	line, err := newDelayLine(ctx, addr, delay)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, line.close()) }()
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return 0, err
	}
	if took, _, err = b.follow(ctx, s, dir, line.addr); err != nil {
		return 0, err
	}
	return took, os.RemoveAll(dir)
}
