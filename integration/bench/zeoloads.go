package main

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
)

const (
	zeoSeconds  = 5  // of each run
	loadClients = 16 // each with loadDepth requests in flight
	loadDepth   = 8
	loadSize    = 4096
)

// scaledTime is how long a run lasts.
func (b *bench) scaledTime() time.Duration {
	return time.Duration(b.scale * zeoSeconds * float64(time.Second))
}

// loadSet makes 100 MB, which the page cache holds.
func (b *bench) loadSet() workload.Set {
	return workload.Set{Transactions: b.scaled(2500), Records: 10, RecordSize: loadSize}
}

// zeoLoads lets clients load random objects of 4 KB as fast as they are served, from files in the page cache.
func (b *bench) zeoLoads(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.loadSet())
	if err != nil {
		return err
	}
	ours, theirs, err := inTurns(b, trial.key, func(p program) (trial, error) { return b.loads(ctx, p, s) })
	if err != nil {
		return err
	}
	b.trialFigures("zrsd", "load", ours)
	if theirs == nil {
		return nil
	}
	b.trialFigures("runzeo", "load", *theirs)
	b.report.atLeast("loads/s in units of runzeo", ours.rate/theirs.rate, "times", 5)
	b.report.atLeast("loads per CPU second in units of runzeo", theirs.cpu.Seconds()/ours.cpu.Seconds(), "times", 8)
	b.report.atMost("p99 beside that of runzeo", ms(ours.p99), "ms", ms(theirs.p99))
	return nil
}

// loads measures after a warm-up of a tenth of the time.
func (b *bench) loads(ctx context.Context, p program, s *source) (t trial, err error) {
	server, err := p.serve(ctx, s.data, "")
	if err != nil {
		return t, err
	}
	defer server.stop()
	conns, hangUp, err := server.clients(ctx, loadClients, all)
	if err != nil {
		return t, err
	}
	defer hangUp()
	run := func(d time.Duration) (*zeoload.Outcome, error) {
		return zeoload.Loads(ctx, conns, s.objects, loadDepth, d)
	}
	if _, err := run(b.scaledTime() / 10); err != nil {
		return t, err
	}
	return server.try(func() (*zeoload.Outcome, error) { return run(b.scaledTime()) })
}
