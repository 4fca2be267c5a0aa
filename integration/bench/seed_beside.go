package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// seedAfar compares a seed over round trips of 50 and 200 ms with one through the same delay line without a delay.
func (b *bench) seedAfar(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.firstSet())
	if err != nil {
		return err
	}
	near, err := b.median(func() (time.Duration, error) { return b.over(ctx, s, 0) })
	if err != nil {
		return err
	}
	b.report.add("no delay", mb(s.bytes, near), "MB/s")
	for _, trip := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond} {
		far, err := b.median(func() (time.Duration, error) { return b.over(ctx, s, trip/2) })
		if err != nil {
			return err
		}
		b.report.add(fmt.Sprintf("a round trip of %v", trip), mb(s.bytes, far), "MB/s")
		b.report.atMost(fmt.Sprintf("a round trip of %v, time in units of that without delay", trip),
			far.Seconds()/near.Seconds(), "times", 1.1)
	}
	return nil
}

// besideRate is what seeds may take per second where they are to disturb nobody.
const besideRate = 20 << 20

// besideTime is for how long it is measured at least: some seeds begin and end in it.
const besideTime = 10 * time.Second

// seedBeside measures the commits of one client while nobody is seeded, while secondaries are at full speed, and while
// they are with a limit.
func (b *bench) seedBeside(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.firstSet())
	if err != nil {
		return err
	}
	var quiet *zeoload.Outcome
	for i, one := range []struct {
		name string
		rate int
		seed bool
	}{{"nobody is seeded", 0, false}, {"seeds at full speed", 0, true}, {"seeds with --seed-rate", besideRate, true}} {
		found, seeds, err := b.commitsBeside(ctx, s, i, one.rate, one.seed)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		if quiet == nil {
			quiet = found
		}
		b.report.add(one.name+": commits, p50", ms(found.Quantile(0.5)), "ms")
		b.report.add(one.name+": commits, p99", ms(found.Quantile(0.99)), "ms")
		if one.seed {
			b.report.atMost(one.name+": p99 in units of that of nobody",
				ms(found.Quantile(0.99))/ms(quiet.Quantile(0.99)), "times", 2)
			b.report.add(one.name+": what they took", float64(seeds)/1e6, "MB")
		}
	}
	return nil
}

// commitsBeside measures commits to a primary of which copies are made meanwhile, one after the other, and how many
// bytes these had.
func (b *bench) commitsBeside(ctx context.Context, s *source, turn, rate int, seeds bool) (found *zeoload.Outcome,
	bytes int64, err error) {
	addr, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return nil, 0, err
	}
	clients, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return nil, 0, err
	}
	p, err := daemon.Start(b.zrsd, filepath.Join(s.dir, "admin"), nil, "primary", "--data", s.data, "--replicate-to",
		addr, "--zeo", clients, "--seed-rate", strconv.Itoa(rate))
	if err != nil {
		return nil, 0, err
	}
	defer p.Kill() //nolint:errcheck // it has nothing to lose
	if _, err := p.Await(ctx, "its chain is complete", chainComplete); err != nil {
		return nil, 0, err
	}
	conns, hangUp, err := (&zeoServer{addr: clients}).clients(ctx, 1, zeoload.DialWriter)
	if err != nil {
		return nil, 0, err
	}
	defer hangUp()
	var taken atomic.Int64
	seeding, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		var err error
		for seeds && seeding.Err() == nil && err == nil {
			err = b.seedOnce(seeding, addr, &taken)
		}
		done <- err
	}()
	found, err = zeoload.Commits(ctx, conns, newOids<<turn, commitSize,
		max(b.scaledTime(), besideTime))
	stop()
	err = errors.Join(err, <-done)
	return found, taken.Load(), err
}

// seedOnce makes a copy until ctx ends, and removes it.
func (b *bench) seedOnce(ctx context.Context, addr string, taken *atomic.Int64) (err error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "Data.fs")
	out, failed := exec.CommandContext(ctx, b.zrsd, "seed", "--from", addr, "--data", data).CombinedOutput()
	if failed != nil && ctx.Err() == nil {
		err = fmt.Errorf("zrsd seed: %w\n%s", failed, out)
	}
	if info, statErr := os.Stat(data); statErr == nil {
		taken.Add(info.Size())
	}
	return errors.Join(err, os.RemoveAll(dir))
}
