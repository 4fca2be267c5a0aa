package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
)

func (b *bench) scaled(n int) int { return max(1, int(float64(n)*b.scale)) }

// firstSet has records of 4.8 KB, because those make 490 MB.
func (b *bench) firstSet() workload.Set {
	return workload.Set{Transactions: b.scaled(20_000), Records: 5, RecordSize: 4830}
}

func (b *bench) secondSet() workload.Set {
	return workload.Set{Transactions: b.scaled(1_000_000), Records: 1, RecordSize: 200}
}

func (b *bench) thirdSet() workload.Set {
	return workload.Set{Transactions: b.scaled(2000), Records: 1, BlobMin: 1 << 10, BlobMax: 4 << 20}
}

// Memory that either side may need: a base, and so much per object.
const (
	memoryBase      = 64 << 20
	memoryPerObject = 9
)

func (b *bench) set1(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.firstSet())
	if err != nil {
		return err
	}
	md5, err := b.median(func() (time.Duration, error) { return md5sum(s.data) })
	if err != nil {
		return err
	}
	tcp, err := b.median(func() (time.Duration, error) { return tcpCopy(ctx, s.data) })
	if err != nil {
		return err
	}
	b.report.add("MD5 on one core", mb(s.bytes, md5), "MB/s")
	b.report.add("TCP loopback copy, one fsync", mb(s.bytes, tcp), "MB/s")
	took, err := b.versusDD(ctx, s, s.data, 0.6)
	if err != nil {
		return err
	}
	b.report.add("zrsd in units of MD5", md5.Seconds()/took.Seconds(), "of MD5")
	return b.versusZRS(ctx, took.Seconds()/float64(s.txns))
}

func (b *bench) set2(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.secondSet())
	if err != nil {
		return err
	}
	took, err := b.versusDD(ctx, s, s.data, 0)
	if err != nil {
		return err
	}
	b.report.atLeast("zrsd", float64(s.txns)/took.Seconds(), "transactions/s", 50_000)
	return nil
}

func (b *bench) set3(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.thirdSet())
	if err != nil {
		return err
	}
	all := filepath.Join(dir, "all")
	if err := concatenate(all, s.data, s.blobs); err != nil {
		return err
	}
	_, err = b.versusDD(ctx, s, all, 0.5)
	return err
}

// versusDD measures dd of the file, which holds all bytes of s, and a secondary catching up with s, in turns, so that
// both meet the same disk. goal is the share of dd's speed that is demanded; 0: none.
func (b *bench) versusDD(ctx context.Context, s *source, file string, goal float64) (time.Duration, error) {
	var copies []time.Duration
	var worst catchUp
	took, err := b.median(func() (time.Duration, error) {
		d, err := dd(ctx, file)
		if err != nil {
			return 0, err
		}
		copies = append(copies, d)
		c, err := b.catchUp(ctx, s)
		worst.primary, worst.replica = max(worst.primary, c.primary), max(worst.replica, c.replica)
		return c.took, err
	})
	if err != nil {
		return 0, err
	}
	ddTook := middle(copies)
	b.report.add("dd conv=fsync of the same bytes", mb(s.bytes, ddTook), "MB/s")
	b.report.add("zrsd", mb(s.bytes, took), "MB/s")
	if ratio := ddTook.Seconds() / took.Seconds(); goal > 0 {
		b.report.atLeast("zrsd in units of dd", ratio, "of dd", goal)
	} else {
		b.report.add("zrsd in units of dd", ratio, "of dd")
	}
	b.memory(s, worst)
	return took, nil
}

// memory compares what both processes needed with what they may need.
func (b *bench) memory(s *source, c catchUp) {
	limit := float64(memoryBase+memoryPerObject*s.objects) / (1 << 20)
	b.report.atMost("peak memory of the primary", float64(c.primary)/(1<<20), "MiB", limit)
	b.report.atMost("peak memory of the secondary", float64(c.replica)/(1<<20), "MiB", limit)
}

// large streams a record and a blob that are far larger than the memory a process may have.
func (b *bench) large(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, workload.Set{Transactions: 1, Records: 1, RecordSize: b.scaled(1 << 28)})
	if err != nil {
		return err
	}
	s.blobs = filepath.Join(dir, "blobs")
	size := int64(b.scaled(1 << 30))
	if err := s.grow(ctx, workload.Set{Transactions: 1, Records: 1, BlobMin: size, BlobMax: size}, 2); err != nil {
		return err
	}
	c, err := b.catchUp(ctx, s)
	if err != nil {
		return err
	}
	b.report.add("zrsd", mb(s.bytes, c.took), "MB/s")
	b.memory(s, c)
	return nil
}

// concatenate writes the content of all files named, or below the folders named, into one file.
func concatenate(target string, paths ...string) (err error) {
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			in, err := os.Open(name)
			if err != nil {
				return err
			}
			_, err = out.ReadFrom(in)
			return errors.Join(err, in.Close())
		})
		if err != nil {
			return fmt.Errorf("collecting the bytes below %s: %w", path, err)
		}
	}
	return nil
}
