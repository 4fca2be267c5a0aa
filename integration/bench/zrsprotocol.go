package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
)

// overZRS are the flags of a secondary that speaks the protocol of zc.zrs with its primary.
var overZRS = []string{"--protocol", "zrs2"}

// zrsGoal is how much of the native protocol's rate zrsd must reach with zrsd over the protocol of zc.zrs.
const zrsGoal = 0.5

// zrsProtocol measures catching up over the protocol of zc.zrs, for each kind of data: zrsd with zrsd, against the
// native protocol, and with the real zc.zrs on either side.
func (b *bench) zrsProtocol(ctx context.Context, dir string) error {
	small := b.secondSet()
	small.Transactions = max(1, small.Transactions/10)
	for _, kind := range []struct {
		name string
		set  workload.Set
	}{
		{"set 1", b.firstSet()}, {"a tenth of set 2", small}, {"set 3, blobs", b.thirdSet()},
	} {
		if err := b.zrsKind(ctx, dir, kind.name, kind.set); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) zrsKind(ctx context.Context, dir, name string, set workload.Set) error {
	s, err := b.generateIn(ctx, dir, set)
	if err != nil {
		return err
	}
	var native []time.Duration
	took, err := b.median(func() (time.Duration, error) { // in turns, so that both meet the same disk
		n, err := b.catchUp(ctx, s)
		if err != nil {
			return 0, err
		}
		native = append(native, n.took)
		z, err := b.catchUp(ctx, s, overZRS...)
		return z.took, err
	})
	if err != nil {
		return err
	}
	b.report.add(name+": zrsd, natively", mb(s.bytes, middle(native)), "MB/s")
	b.report.add(name+": zrsd, over zrs2.1", mb(s.bytes, took), "MB/s")
	b.report.atLeast(name+": zrs2.1 in units of native", middle(native).Seconds()/took.Seconds(), "of native", zrsGoal)
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	return b.zrsMixed(ctx, dir, name, set)
}

// zrsMixed gives the pairs with the real zc.zrs on one side a part of the set, once.
func (b *bench) zrsMixed(ctx context.Context, dir, name string, set workload.Set) error {
	if b.zrs == "" {
		return nil
	}
	set.Transactions = max(1, int(float64(set.Transactions)*zrsShare))
	s, err := b.generateIn(ctx, dir, set)
	if err != nil {
		return err
	}
	from, err := b.fromZRS(ctx, s)
	if err != nil {
		return err
	}
	to, err := b.toZRS(ctx, s)
	if err != nil {
		return err
	}
	b.report.add(name+", a tenth: from zc.zrs to zrsd", mb(s.bytes, from), "MB/s")
	b.report.add(name+", a tenth: from zrsd to zc.zrs", mb(s.bytes, to), "MB/s")
	return os.RemoveAll(s.dir)
}

// generateIn generates a source in a folder of its own below dir.
func (b *bench) generateIn(ctx context.Context, dir string, set workload.Set) (*source, error) {
	own, err := os.MkdirTemp(dir, "")
	if err != nil {
		return nil, err
	}
	return generate(ctx, own, set)
}

func (b *bench) fromZRS(ctx context.Context, s *source) (time.Duration, error) {
	addr, stop, err := b.zrsServe(ctx, s)
	if err != nil {
		return 0, err
	}
	defer stop()
	target := filepath.Join(s.dir, "zrsd")
	if err := os.Mkdir(target, 0o700); err != nil {
		return 0, err
	}
	took, _, err := b.follow(ctx, s, target, addr, overZRS...)
	return took, err
}

func (b *bench) toZRS(ctx context.Context, s *source) (time.Duration, error) {
	p, addr, err := b.serve(ctx, s)
	if err != nil {
		return 0, err
	}
	defer p.Kill() //nolint:errcheck // it has nothing to lose
	return b.zrsFollow(ctx, s, addr)
}
