package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/integration/zeoload"
)

// waitWriters are how many clients commit at a time where throughput counts.
const waitWriters = 16

// waiting compares commits that wait for one secondary with commits that do not, beside what the disk can sync.
func (b *bench) waiting(ctx context.Context, dir string) error {
	syncs, err := fsyncs(ctx, dir, 2*commitSize, b.scaled(syncCount), backToBack)
	if err != nil {
		return err
	}
	fsync := quantile(syncs, 0.5)
	b.report.add("fsync of 2 KB, p50", ms(fsync), "ms")
	alone, err := b.commitsOf(ctx, dir, "alone")
	if err != nil {
		return err
	}
	waits, err := b.commitsOf(ctx, dir, "waits", "--sync-secondaries", "1")
	if err != nil {
		return err
	}
	for _, one := range []struct {
		name string
		t    [2]*zeoload.Outcome
	}{{"asynchronous", alone}, {"waiting for one secondary", waits}} {
		b.report.add("1 writer, "+one.name+", p50", ms(one.t[0].Quantile(0.5)), "ms")
		b.report.add("1 writer, "+one.name+", p99", ms(one.t[0].Quantile(0.99)), "ms")
		b.report.add("16 writers, "+one.name, one.t[1].PerSecond(), "commits/s")
	}
	more := waits[0].Quantile(0.5) - alone[0].Quantile(0.5)
	b.report.atMost("1 writer, waiting costs, p50", ms(more), "ms", ms(fsync)+2)
	b.report.atLeast("16 writers, waiting in units of asynchronous", waits[1].PerSecond()/alone[1].PerSecond(),
		"times", 0.8)
	return nil
}

// commitsOf measures a primary with one secondary: one writer, then many.
func (b *bench) commitsOf(ctx context.Context, dir, name string, args ...string) (found [2]*zeoload.Outcome,
	err error) {
	dir = filepath.Join(dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return found, err
	}
	nodes, err := b.twoNodes(ctx, dir, args...)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, stopAll(nodes)) }()
	server := &zeoServer{addr: nodes[0].zeo}
	for i, n := range []int{1, waitWriters} {
		conns, hangUp, err := server.clients(ctx, n, zeoload.DialWriter)
		if err != nil {
			return found, err
		}
		found[i], err = zeoload.Commits(ctx, conns, newOids<<i, commitSize, b.scaledTime())
		hangUp()
		if err != nil {
			return found, err
		}
	}
	return found, nil
}
