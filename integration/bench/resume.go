package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
)

// behind is how many transactions the resuming secondary lacks.
const behind = 1000

// resume lets a secondary that lacks 1,000 transactions catch up, on a file of 500 MB and on one of 2 GB. The two
// should take the same time.
func (b *bench) resume(ctx context.Context, dir string) error {
	var times []time.Duration
	for _, history := range []int{20_000, 82_000} {
		set := workload.Set{Transactions: b.scaled(history), Records: 5, RecordSize: 4830}
		sub, err := os.MkdirTemp(dir, "")
		if err != nil {
			return err
		}
		s, took, err := b.resumeOn(ctx, sub, set)
		if err != nil {
			return err
		}
		b.report.add(fmt.Sprintf("1,000 transactions behind on %d MB", s.bytes/1e6), ms(took), "ms")
		times = append(times, took)
		if err := os.RemoveAll(sub); err != nil {
			return err
		}
	}
	b.report.atMost("large file in units of the small one", times[1].Seconds()/times[0].Seconds(), "times", 1.2)
	return nil
}

func (b *bench) resumeOn(ctx context.Context, dir string, set workload.Set) (*source, time.Duration, error) {
	s, err := generate(ctx, dir, set)
	if err != nil {
		return nil, 0, err
	}
	replica := filepath.Join(dir, "replica")
	if err := os.Mkdir(replica, 0o755); err != nil {
		return nil, 0, err
	}
	before, err := os.Stat(s.data)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range []string{"Data.fs", "Data.fs.index"} {
		if err := copyFile(filepath.Join(replica, name), filepath.Join(dir, name)); err != nil {
			return nil, 0, err
		}
	}
	index := filepath.Join(replica, "Data.fs.index")
	if err := copyFile(index+".before", index); err != nil {
		return nil, 0, err
	}
	more := set
	more.Transactions = behind
	if err := s.grow(ctx, more, 2); err != nil {
		return nil, 0, err
	}
	p, addr, err := b.serve(ctx, s)
	if err != nil {
		return nil, 0, err
	}
	defer p.Kill() //nolint:errcheck // it has nothing to lose
	took, err := b.median(func() (time.Duration, error) {
		// Back to where it was: the file cut, the index as it was then.
		if err := errors.Join(os.Truncate(filepath.Join(replica, "Data.fs"), before.Size()),
			copyFile(index, index+".before")); err != nil {
			return 0, err
		}
		took, _, err := b.follow(ctx, s, replica, addr)
		return took, err
	})
	return s, took, err
}

func copyFile(target, source string) (err error) {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
