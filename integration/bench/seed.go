package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
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
		{"blobs", b.thirdSet(), 0.7},
	} {
		if err := b.seedOf(ctx, filepath.Join(dir, "set"), set.name, set.of, set.goal); err != nil {
			return fmt.Errorf("%s: %w", set.name, err)
		}
	}
	return nil
}

func (b *bench) seedOf(ctx context.Context, dir, name string, set workload.Set, goal float64) (err error) {
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := generate(ctx, dir, set)
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
	var copies, tcp, asTransactions []time.Duration
	var best, one catchUp
	took, err := b.median(func() (time.Duration, error) {
		d, err := dd(ctx, all)
		if err != nil {
			return 0, err
		}
		copies = append(copies, d)
		if d, err = tcpCopy(ctx, all); err != nil {
			return 0, err
		}
		tcp = append(tcp, d)
		if one, err = b.catchUp(ctx, s, frames...); err != nil {
			return 0, err
		}
		asTransactions = append(asTransactions, one.took)
		c, err := b.catchUp(ctx, s)
		if best.cpu == 0 || c.cpu < best.cpu {
			best = c
		}
		return c.took, err
	})
	if err != nil {
		return err
	}
	b.report.add(name+": dd conv=fsync", mb(s.bytes, middle(copies)), "MB/s")
	b.report.add(name+": TCP loopback copy, one fsync", mb(s.bytes, middle(tcp)), "MB/s")
	b.report.add(name+": transactions one by one", mb(s.bytes, middle(asTransactions)), "MB/s")
	b.report.add(name+": seed", mb(s.bytes, took), "MB/s")
	slower := max(middle(copies), middle(tcp))
	b.report.atLeast(name+": seed in units of the slower copy", slower.Seconds()/took.Seconds(), "of it", goal)
	perGB := func(c catchUp) float64 { return c.cpu.Seconds() / (float64(s.bytes) / 1e9) }
	b.report.add(name+": processor time of transactions one by one, both sides", perGB(one), "s/GB")
	b.report.atMost(name+": processor time of a seed, both sides", perGB(best), "s/GB", 2.5)
	b.report.add(name+": peak memory of the secondary", float64(best.replica)/(1<<20), "MiB")
	return nil
}
