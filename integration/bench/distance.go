package main

import (
	"context"
	"errors"
	"fmt"
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
		d, _, err := b.over(ctx, s, 0)
		if err != nil {
			return err
		}
		near = append(near, d)
		if d, _, err = b.over(ctx, s, 25*time.Millisecond); err != nil {
			return err
		}
		far = append(far, d)
	}
	b.report.add("no delay", mb(s.bytes, middle(near)), "MB/s")
	b.report.add("25 ms each way", mb(s.bytes, middle(far)), "MB/s")
	b.report.atMost("time in units of that without delay", middle(far).Seconds()/middle(near).Seconds(), "times", 1.2)
	return nil
}

// over measures one secondary behind a delay line, and the most memory that it has resident.
func (b *bench) over(ctx context.Context, s *source, delay time.Duration) (took time.Duration, peak int64, err error) {
	p, addr, err := b.serve(ctx, s)
	if err != nil {
		return 0, 0, err
	}
	defer p.Kill() //nolint:errcheck // it has nothing to lose
	line, err := newDelayLine(ctx, addr, delay)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, line.close()) }()
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return 0, 0, err
	}
	if took, peak, err = b.follow(ctx, s, dir, line.addr); err != nil {
		return 0, 0, err
	}
	return took, peak, discard(dir)
}

// seedAfar compares a seed over round trips of 50 and 200 ms with one through the same delay line without a delay.
func (b *bench) seedAfar(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.firstSet())
	if err != nil {
		return err
	}
	trips := []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond}
	took, most := make([][]time.Duration, len(trips)), make([]int64, len(trips))
	for range b.runs { // by turns
		for i, trip := range trips {
			d, peak, err := b.over(ctx, s, trip/2)
			if err != nil {
				return err
			}
			took[i], most[i] = append(took[i], d), max(most[i], peak)
		}
	}
	for i, trip := range trips {
		name := fmt.Sprintf("a round trip of %v", trip)
		b.report.add(name, mb(s.bytes, middle(took[i])), "MB/s")
		b.report.add(name+", peak memory of the secondary", float64(most[i])/(1<<20), "MiB")
		if trip > 0 {
			b.report.atMost(name+", time in units of that without delay",
				middle(took[i]).Seconds()/middle(took[0]).Seconds(), "times", 1.1)
		}
	}
	return nil
}
