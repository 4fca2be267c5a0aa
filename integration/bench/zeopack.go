package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/zodb"
)

// Commits beside a pack: 400 in each second.
const (
	packWriters = 4
	packPace    = 10 * time.Millisecond // of each writer
)

// packSet makes 500 MB, half of which is garbage: everything is written twice.
func (b *bench) packSet() workload.Set {
	return workload.Set{Transactions: b.scaled(10_000), Records: 5, RecordSize: 4830}
}

// zeoPack lets the server pack while writers commit at a steady pace, and compares their commits with those before.
func (b *bench) zeoPack(ctx context.Context, dir string) error {
	s := &source{dir: dir, data: filepath.Join(dir, "Data.fs")}
	storage, err := workload.Open(ctx, s.data, "")
	if err != nil {
		return err
	}
	err = workload.FillTwice(ctx, storage, b.packSet(), 1)
	if err := errors.Join(err, storage.Close()); err != nil {
		return err
	}
	if s.bytes, err = sizeOf(s.data); err != nil {
		return err
	}
	b.report.add("the file before", float64(s.bytes)/1e6, "MB")
	ours, theirs, err := inTurns(b, (*packed).key, func(p program) (*packed, error) { return b.pack(ctx, p, s) })
	if err != nil {
		return err
	}
	b.packFigures("zrsd", ours)
	b.report.atMost("zrsd, p99 beside the pack in units of without", ours.slowdown(), "times", 3)
	if theirs != nil {
		theirs := *theirs
		b.packFigures("runzeo", theirs)
		b.report.add("runzeo, p99 beside the pack in units of without", theirs.slowdown(), "times")
		b.report.atLeast("speed of the pack in units of runzeo", theirs.took.Seconds()/ours.took.Seconds(), "times", 5)
	}
	return nil
}

// A packed is what one pack beside commits was found to be.
type packed struct {
	took          time.Duration
	left          int64 // bytes
	before, while *zeoload.Outcome
}

// slowdown is how many times longer commits take while the pack runs.
func (p *packed) slowdown() float64 {
	return p.while.Quantile(0.99).Seconds() / p.before.Quantile(0.99).Seconds()
}

func (p *packed) key() float64 { return p.took.Seconds() }

func (b *bench) packFigures(name string, p *packed) {
	b.report.add(name+", the pack", p.took.Seconds(), "s")
	b.report.add(name+", the file behind it", float64(p.left)/1e6, "MB")
	b.report.add(name+", p99 of commits without it", ms(p.before.Quantile(0.99)), "ms")
	b.report.add(name+", p99 of commits beside it", ms(p.while.Quantile(0.99)), "ms")
	b.report.add(name+", longest commit beside it", ms(p.while.Quantile(1)), "ms")
}

// pack measures on a copy of s.
func (b *bench) pack(ctx context.Context, p program, s *source) (done *packed, err error) {
	data, err := s.copyTo(filepath.Join(s.dir, "copy"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(data))) }()
	server, err := p.serve(ctx, data, "")
	if err != nil {
		return nil, err
	}
	defer server.stop()
	conns, hangUp, err := server.clients(ctx, 1+packWriters, false)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	packer, writers := conns[0], conns[1:]
	done = &packed{}
	timer := time.NewTimer(b.scaledTime())
	defer timer.Stop()
	done.before, err = besides(ctx, writers, newOids, func() error {
		<-timer.C
		return nil
	})
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	done.while, err = besides(ctx, writers, 2*newOids, func() error {
		defer func() { done.took = time.Since(begin) }()
		return packer.Pack(begin)
	})
	if err != nil {
		return nil, err
	}
	done.left, err = sizeOf(data)
	return done, err
}

// besides lets the writers commit while f runs. first is that of their objects.
func besides(ctx context.Context, writers []*zeoload.Conn, first zodb.Oid, f func() error) (*zeoload.Outcome, error) {
	over := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		defer close(over)
		ended <- f()
	}()
	o, err := zeoload.Steady(ctx, writers, first, commitSize, packPace, over)
	return o, errors.Join(err, <-ended)
}
