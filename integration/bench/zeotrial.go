package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/daemon"
)

// A trial is what one run against one server found.
type trial struct {
	rate      float64       // operations per second
	cpu       time.Duration // of the server for each operation
	generator time.Duration // processor time of this program for each operation
	p50, p99  time.Duration
}

func (t trial) key() float64 { return t.rate }

// trialFigures notes a trial of operations such as loads. What the generator uses is there to be compared with the
// server: where it were more, the generator would be what is measured.
func (b *bench) trialFigures(name, operation string, t trial) {
	b.report.add(name, t.rate, operation+"s/s")
	b.report.add(name+", p50", ms(t.p50), "ms")
	b.report.add(name+", p99", ms(t.p99), "ms")
	b.report.add(name+", processor time of the server", us(t.cpu), "µs/"+operation)
	b.report.add(name+", processor time of the generator", us(t.generator), "µs/"+operation)
}

// try runs operations against the server.
func (s *zeoServer) try(operations func() (*zeoload.Outcome, error)) (t trial, err error) {
	server, err := daemon.CPUTime(s.pid)
	if err != nil {
		return t, err
	}
	generator, err := daemon.CPUTime(os.Getpid())
	if err != nil {
		return t, err
	}
	o, err := operations()
	if err != nil {
		return t, err
	}
	t = trial{rate: o.PerSecond(), p50: o.Quantile(0.5), p99: o.Quantile(0.99)}
	n := time.Duration(len(o.Latencies))
	if t.cpu, err = usedSince(server, s.pid, n); err != nil {
		return t, err
	}
	t.generator, err = usedSince(generator, os.Getpid(), n)
	return t, err
}

// usedSince returns the processor time that the process has used since it was before, for each of n operations.
func usedSince(before time.Duration, pid int, n time.Duration) (time.Duration, error) {
	now, err := daemon.CPUTime(pid)
	return (now - before) / n, err
}

// inTurns measures zrsd and, where it is there, runzeo as often as the run wants, one after the other so that both meet
// the same machine, and returns of each the trial whose key is the median; of runzeo nil without one.
func inTurns[T any](b *bench, key func(T) float64, measure func(p program) (T, error)) (ours T, theirs *T, err error) {
	programs := []program{b.zrsdServe()}
	if b.zeo != "" {
		programs = append(programs, b.runzeo())
	}
	trials := make([][]T, len(programs))
	for range b.runs {
		for i, p := range programs {
			t, err := measure(p)
			if err != nil {
				return ours, nil, fmt.Errorf("%s: %w", p.name, err)
			}
			trials[i] = append(trials[i], t)
		}
	}
	for _, of := range trials {
		slices.SortFunc(of, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	}
	if b.zeo != "" {
		theirs = &trials[1][b.runs/2]
	}
	return trials[0][b.runs/2], theirs, nil
}
