package main

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

const (
	commitSize = 1000              // bytes of each of two objects
	newOids    = zodb.Oid(1 << 32) // the first of the objects that the generator makes
	backToBack = time.Microsecond  // a pace that no disk keeps
	syncCount  = 1000
)

// commitGoals are how much faster than runzeo zrsd must be with so many writers.
var commitGoals = []struct {
	writers int
	msgpack bool
	times   float64
}{{1, false, 1.3}, {1, true, 1.3}, {16, false, 5}, {64, false, 10}}

// zeoCommits lets writers commit two objects of 1 KB each, as fast as they are served, beside what the disk can sync.
func (b *bench) zeoCommits(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, workload.Set{Transactions: b.scaled(500), Records: 10, RecordSize: loadSize})
	if err != nil {
		return err
	}
	begin := time.Now()
	syncs, err := fsyncs(ctx, dir, 2*commitSize, b.scaled(syncCount), backToBack)
	if err != nil {
		return err
	}
	b.report.add("fsync of 2 KB, one after the other", float64(len(syncs))/time.Since(begin).Seconds(), "fsyncs/s")
	b.report.add("fsync of 2 KB, p50", ms(quantile(syncs, 0.5)), "ms")
	b.report.add("fsync of 2 KB, p99", ms(quantile(syncs, 0.99)), "ms")
	for _, goal := range commitGoals {
		ours, theirs, err := inTurns(b, trial.key, func(p program) (trial, error) {
			p.msgpack = goal.msgpack
			return b.commits(ctx, p, s, goal.writers)
		})
		if err != nil {
			return err
		}
		name := fmt.Sprintf("writers: %d, ", goal.writers)
		if goal.msgpack {
			name += "msgpack, "
		}
		b.commitFigures(name, goal.times, ours, theirs)
	}
	return nil
}

func (b *bench) commitFigures(name string, goal float64, ours trial, theirs *trial) {
	b.trialFigures(name+"zrsd", "commit", ours)
	if theirs != nil {
		b.trialFigures(name+"runzeo", "commit", *theirs)
		b.report.atLeast(name+"zrsd in units of runzeo", ours.rate/theirs.rate, "times", goal)
	}
}

// commits measures on a copy of s.
func (b *bench) commits(ctx context.Context, p program, s *source, writers int) (t trial, err error) {
	err = p.onCopy(ctx, s, writers, func(server *zeoServer, conns []*client.Conn) error {
		t, err = server.try(func() (*zeoload.Outcome, error) {
			return zeoload.Commits(ctx, conns, newOids, commitSize, b.scaledTime())
		})
		return err
	})
	return t, err
}
