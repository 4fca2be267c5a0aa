package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zodb"
)

const (
	// besideRate is what seeds may take per second where they are to disturb nobody.
	besideRate = 20 << 20
	// besideTime is for how long it is measured at least: some seeds begin and end in it.
	besideTime = 10 * time.Second
	// inMemory is a folder that is on no disk.
	inMemory = "/dev/shm"
)

// A burden is what is done, again and again, beside commits, until ctx ends. It counts what it has written.
type burden func(ctx context.Context, written *atomic.Int64) error

// A seeding is one way to burden a primary of which copies are made.
type seeding struct {
	name  string
	dir   string  // for the copies
	rate  int     // --seed-rate
	apart bool    // the copies are made by the last core, and all else is done by the others
	plain bool    // nobody is seeded: as much is written by dd
	goal  float64 // p99 in units of that of nobody; 0: none
}

// seedings tell apart what copies cost the primary: where they are made on another machine, they have neither its disk
// nor its cores. What they cost on the same disk is beside what the disk makes of any program that writes to it.
func (b *bench) seedings() []seeding {
	all := []seeding{
		{name: "copies on the same disk", dir: b.dir},
		{name: "dd to the same disk, 8 MiB synced at a time", dir: b.dir, plain: true},
		{name: "copies on the same disk, --seed-rate", dir: b.dir, rate: besideRate, goal: 2},
	}
	if _, err := os.Stat(inMemory); err != nil {
		return all
	}
	all = append(all, seeding{name: "copies in memory", dir: inMemory, goal: 2})
	if runtime.NumCPU() > 1 {
		all = append(all, seeding{name: "copies in memory, a core of their own", dir: inMemory, apart: true, goal: 2})
	}
	return all
}

// seedBeside measures the commits of one client while secondaries are seeded in several ways, by turns with those while
// nobody is.
func (b *bench) seedBeside(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.firstSet())
	if err != nil {
		return err
	}
	ways := b.seedings()
	times, written := make([][]float64, len(ways)), make([][]float64, len(ways))
	var quiet []time.Duration
	first := newOids
	for range b.runs {
		for i, way := range ways {
			before, _, err := b.commitsBeside(ctx, s, first, way, false)
			if err != nil {
				return fmt.Errorf("nobody is seeded: %w", err)
			}
			found, bytes, err := b.commitsBeside(ctx, s, first+1<<20, way, true)
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			first += 1 << 21
			quiet = append(quiet, before.Quantile(0.99))
			times[i] = append(times[i], ms(found.Quantile(0.99))/ms(before.Quantile(0.99)))
			written[i] = append(written[i], float64(bytes)/1e6/found.Took.Seconds())
		}
	}
	b.report.add("nobody is seeded: commits, p99", ms(middle(quiet)), "ms")
	for i, way := range ways {
		b.report.add(way.name+": written", middleOf(written[i]), "MB/s")
		if name := way.name + ": p99, times that of nobody"; way.goal == 0 {
			b.report.add(name, middleOf(times[i]), "times")
		} else {
			b.report.atMost(name, middleOf(times[i]), "times", way.goal)
		}
	}
	return nil
}

func middleOf(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// parted returns on which cores the primary and its client run, and on which the copies are made.
func (w *seeding) parted() (here, there cores) {
	if !w.apart {
		return nil, nil
	}
	last := runtime.NumCPU() - 1
	for core := range last {
		here = append(here, core)
	}
	return here, cores{last}
}

// commitsBeside measures commits to a primary, burdened or not, and how many bytes were written meanwhile.
func (b *bench) commitsBeside(ctx context.Context, s *source, first zodb.Oid, way seeding, burdened bool) (
	found *zeoload.Outcome, bytes int64, err error) {
	addr, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return nil, 0, err
	}
	clients, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return nil, 0, err
	}
	unix.Sync() // what all before has left for the disk to do is nothing that commits wait for
	here, there := way.parted()
	var p *daemon.Process
	err = here.begin(func() (err error) {
		p, err = daemon.Start(b.zrsd, filepath.Join(s.dir, "admin"), nil, "primary", "--data", s.data, "--replicate-to",
			addr, "--zeo", clients, "--seed-rate", strconv.Itoa(way.rate))
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	defer p.Kill() //nolint:errcheck // it has nothing to lose
	if _, err := p.Await(ctx, "its chain is complete", chainComplete); err != nil {
		return nil, 0, err
	}
	var load burden
	switch {
	case burdened && way.plain:
		load = func(ctx context.Context, written *atomic.Int64) error { return plainWrites(ctx, s, written) }
	case burdened:
		load = func(ctx context.Context, written *atomic.Int64) error {
			return b.seedOnce(ctx, addr, way.dir, there, written)
		}
	}
	letGo, err := here.confine()
	if err != nil {
		return nil, 0, err
	}
	found, bytes, err = b.commitsUnder(ctx, clients, first, load)
	return found, bytes, errors.Join(err, letGo())
}

// commitsUnder measures the commits of one client under a burden; nil is none.
func (b *bench) commitsUnder(ctx context.Context, addr string, first zodb.Oid, load burden) (
	found *zeoload.Outcome, bytes int64, err error) {
	conns, hangUp, err := (&zeoServer{addr: addr}).clients(ctx, 1, zeoload.DialWriter)
	if err != nil {
		return nil, 0, err
	}
	defer hangUp()
	var written atomic.Int64
	loading, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		var err error
		for load != nil && loading.Err() == nil && err == nil {
			err = load(loading, &written)
		}
		done <- err
	}()
	found, err = zeoload.Commits(ctx, conns, first, commitSize, max(b.scaledTime(), besideTime))
	stop()
	err = errors.Join(err, <-done)
	return found, written.Load(), err
}

// plainWrites copies the data file beside itself with dd, which syncs as much at a time as a seed does, until ctx ends,
// and removes the copy.
func plainWrites(ctx context.Context, s *source, written *atomic.Int64) error {
	target := s.data + ".dd"
	dd := exec.CommandContext(ctx, "nice", "dd", "if="+s.data, "of="+target, "bs=8M", "oflag=dsync")
	out, err := dd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("dd: %w\n%s", err, out)
	}
	if info, err := os.Stat(target); err == nil {
		written.Add(info.Size())
	}
	return os.RemoveAll(target)
}

// seedOnce makes a copy on these cores until ctx ends, and removes it.
func (b *bench) seedOnce(ctx context.Context, addr, parent string, on cores, written *atomic.Int64) (err error) {
	dir, err := os.MkdirTemp(parent, "zrsd-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "Data.fs")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // it is read, and removed
	cmd := exec.CommandContext(ctx, b.zrsd, "seed", "--from", addr, "--data", data)
	cmd.Stdout, cmd.Stderr = log, log
	failed := on.begin(cmd.Start)
	if failed == nil {
		failed = cmd.Wait()
	}
	if info, err := os.Stat(data); err == nil {
		written.Add(info.Size())
	}
	if failed != nil && ctx.Err() == nil {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("zrsd seed: %w\n%s", failed, said)
	}
	return nil
}
