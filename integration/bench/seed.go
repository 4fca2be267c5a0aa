package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/daemon"
)

// frames are the flags of a secondary that takes transactions one by one.
var frames = []string{"--seed-threshold", "0"}

// seed measures how fast an empty secondary takes the data file as it is, and what processor time that costs.
func (b *bench) seed(ctx context.Context, dir string) error {
	for _, set := range []struct {
		name string
		of   workload.Set
		goal float64 // share of the speed of a plain copy
	}{
		{"records of 4.8 KB", b.firstSet(), 0.9},
		{"small transactions", b.secondSet(), 0.9},
		{"blobs of 4 to 32 KB", b.smallBlobs(), 0.7},
		{"blobs of 1 KB to 4 MB", b.thirdSet(), 0.7},
		{"blobs of 50 to 70 MB", b.largeBlobs(), 0.9},
	} {
		if err := b.seedOf(ctx, filepath.Join(dir, set.name), set.name, set.of, set.goal); err != nil {
			return fmt.Errorf("%s: %w", set.name, err)
		}
	}
	return nil
}

func (b *bench) smallBlobs() workload.Set {
	return workload.Set{Transactions: b.scaled(5000), Records: 1, BlobMin: 4 << 10, BlobMax: 32 << 10}
}

func (b *bench) largeBlobs() workload.Set {
	return workload.Set{Transactions: b.scaled(16), Records: 1, BlobMin: 50 << 20, BlobMax: 70 << 20}
}

// The copies that one set was measured by, in turns.
type copies struct {
	dd, tcp, one, seed []time.Duration
	tcpCPU             time.Duration // of one of them, both sides
	byOne, best        catchUp
}

func (b *bench) seedOf(ctx context.Context, dir, name string, set workload.Set, goal float64) (err error) {
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, discard(dir)) }()
	from := filepath.Join(dir, "from")
	if err := os.Mkdir(from, 0o777); err != nil {
		return err
	}
	s, err := generate(ctx, from, set)
	if err != nil {
		return err
	}
	all, parts := filepath.Join(dir, "all"), []string{s.data}
	if s.blobs != "" {
		parts = append(parts, s.blobs)
	}
	if err := concatenate(all, parts...); err != nil {
		return err
	}
	var c copies
	for range b.runs {
		if err := b.copyOnce(ctx, s, all, &c); err != nil {
			return err
		}
	}
	b.reportSeed(name, s, &c, goal)
	return nil
}

// copyOnce makes each kind of copy once.
func (b *bench) copyOnce(ctx context.Context, s *source, all string, c *copies) error {
	took, err := dd(ctx, all)
	if err != nil {
		return err
	}
	c.dd = append(c.dd, took)
	before, err := daemon.CPUTime(os.Getpid())
	if err != nil {
		return err
	}
	if s.blobs == "" {
		took, err = tcpCopy(ctx, all)
	} else {
		took, err = filesCopy(ctx, s.dir, b.dir)
	}
	if err != nil {
		return err
	}
	after, err := daemon.CPUTime(os.Getpid())
	if err != nil {
		return err
	}
	c.tcp, c.tcpCPU = append(c.tcp, took), after-before
	if c.byOne, err = b.catchUp(ctx, s, frames...); err != nil {
		return err
	}
	c.one = append(c.one, c.byOne.took)
	seed, err := b.catchUp(ctx, s)
	if err != nil {
		return err
	}
	if seed.seeds == 0 {
		return errors.New("the secondary took the transactions one by one: this is no seed")
	}
	c.seed = append(c.seed, seed.took)
	if c.best.cpu == 0 || seed.cpu < c.best.cpu {
		c.best = seed
	}
	return nil
}

func (b *bench) reportSeed(name string, s *source, c *copies, goal float64) {
	b.report.add(name+": dd conv=fsync", mb(s.bytes, middle(c.dd)), "MB/s")
	b.report.add(name+": TCP loopback copy, one sync", mb(s.bytes, middle(c.tcp)), "MB/s")
	b.report.add(name+": transactions one by one", mb(s.bytes, middle(c.one)), "MB/s")
	b.report.add(name+": seed", mb(s.bytes, middle(c.seed)), "MB/s")
	share := max(middle(c.dd), middle(c.tcp)).Seconds() / middle(c.seed).Seconds()
	b.report.atLeast(name+": seed in units of the slower copy", share, "of it", goal)
	perGB := func(cpu time.Duration) float64 { return cpu.Seconds() / (float64(s.bytes) / 1e9) }
	b.report.add(name+": processor time of the TCP copy, both sides", perGB(c.tcpCPU), "s/GB")
	b.report.add(name+": processor time of transactions one by one, both sides", perGB(c.byOne.cpu), "s/GB")
	b.report.atMost(name+": processor time of a seed, both sides", perGB(c.best.cpu), "s/GB", 2.5)
	b.report.add(name+": peak memory of the secondary", float64(c.best.replica)/(1<<20), "MiB")
}
