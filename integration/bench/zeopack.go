package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// packSet makes 500 MB, half of which is garbage: everything is written twice.
func (b *bench) packSet() workload.Set {
	return workload.Set{Transactions: b.scaled(10_000), Records: 5, RecordSize: 4830}
}

// zeoPack measures packs as clients ask for them: one that has the server for itself, and one beside commits.
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
	if err := b.packAlone(ctx, s); err != nil {
		return err
	}
	return b.packBeside(ctx, s)
}

// A packed is what one pack was found to be.
type packed struct {
	took   time.Duration
	copied time.Duration // by dd, of the packed file
	left   int64         // bytes
}

func (p packed) key() float64 { return p.took.Seconds() }

// packAlone compares packs of an idle server, beside the time that dd needs for the bytes that are kept.
func (b *bench) packAlone(ctx context.Context, s *source) error {
	ours, theirs, err := inTurns(b, packed.key, func(p program) (found packed, err error) {
		err = p.onCopy(ctx, s, 1, func(server *zeoServer, conns []*client.Conn) error {
			begin := time.Now()
			if err := conns[0].Pack(ctx, begin); err != nil {
				return err
			}
			found.took = time.Since(begin)
			if found.left, err = sizeOf(server.data); err != nil {
				return err
			}
			found.copied, err = dd(ctx, server.data)
			return err
		})
		return found, err
	})
	if err != nil {
		return err
	}
	b.report.add("the file afterwards", float64(ours.left)/1e6, "MB")
	b.report.add("dd conv=fsync of the file afterwards", ours.copied.Seconds(), "s")
	b.report.add("zrsd, the pack", ours.took.Seconds(), "s")
	if theirs != nil {
		b.report.add("runzeo, the pack", theirs.took.Seconds(), "s")
		b.report.atLeast("speed of the pack in units of runzeo", theirs.took.Seconds()/ours.took.Seconds(), "times", 5)
	}
	return nil
}

// Commits beside a pack: 400 in each second.
const (
	packWriters = 4
	packPace    = 10 * time.Millisecond // of each writer
)

// A beside is commits at a steady pace, before and while a pack runs.
type beside struct {
	took          time.Duration // of the pack
	before, while *zeoload.Outcome
}

// slowdown is how many times longer commits take while the pack runs.
func (b *beside) slowdown() float64 {
	return b.while.Quantile(0.99).Seconds() / b.before.Quantile(0.99).Seconds()
}

// packBeside compares commits beside a pack with those before it.
func (b *bench) packBeside(ctx context.Context, s *source) error {
	ours, theirs, err := inTurns(b, (*beside).slowdown, func(p program) (found *beside, err error) {
		err = p.onCopy(ctx, s, 1+packWriters, func(_ *zeoServer, conns []*client.Conn) error {
			found, err = b.beside(ctx, conns[0], conns[1:])
			return err
		})
		return found, err
	})
	if err != nil {
		return err
	}
	b.besideFigures("zrsd", ours)
	b.report.atMost("zrsd, p99 beside the pack in units of without", ours.slowdown(), "times", 3)
	if theirs != nil {
		b.besideFigures("runzeo", *theirs)
		theirs := *theirs
		b.report.add("runzeo, p99 beside the pack in units of without", theirs.slowdown(), "times")
		faster := theirs.took.Seconds() / ours.took.Seconds()
		b.report.atLeast("speed of the pack beside commits in units of runzeo", faster, "times", 5)
	}
	return nil
}

func (b *bench) besideFigures(name string, p *beside) {
	b.report.add(name+", the pack beside commits", p.took.Seconds(), "s")
	b.report.add(name+", p99 of commits without it", ms(p.before.Quantile(0.99)), "ms")
	b.report.add(name+", p99 of commits beside it", ms(p.while.Quantile(0.99)), "ms")
	b.report.add(name+", longest commit beside it", ms(p.while.Quantile(1)), "ms")
}

func (b *bench) beside(ctx context.Context, packer *client.Conn, writers []*client.Conn) (*beside, error) {
	found := &beside{}
	timer := time.NewTimer(b.scaledTime())
	defer timer.Stop()
	var err error
	found.before, err = steadily(ctx, writers, newOids, func() error {
		<-timer.C
		return nil
	})
	if err != nil {
		return nil, err
	}
	found.while, err = steadily(ctx, writers, 2*newOids, func() error {
		begin := time.Now()
		defer func() { found.took = time.Since(begin) }()
		return packer.Pack(ctx, begin)
	})
	return found, err
}

// steadily lets the writers commit to objects from first on while f runs.
func steadily(ctx context.Context, writers []*client.Conn, first zodb.Oid, f func() error) (*zeoload.Outcome, error) {
	over := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		defer close(over)
		ended <- f()
	}()
	o, err := zeoload.Steady(ctx, writers, first, commitSize, packPace, over)
	return o, errors.Join(err, <-ended)
}
