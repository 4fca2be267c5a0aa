package main

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zrsd/zrsd/integration/workload"
)

// open measures opening a storage of a million objects with its saved index, and rebuilding that index, beside reading
// the file from front to back: from the page cache, and from the disk.
func (b *bench) open(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.secondSet())
	if err != nil {
		return err
	}
	index := s.data + ".index"
	saved := index + ".saved"
	if err := copyFile(saved, index); err != nil {
		return err
	}
	opened, err := b.median(func() (time.Duration, error) {
		return openOnce(ctx, s.data, copyFile(index, saved))
	})
	if err != nil {
		return err
	}
	b.report.atMost("opening with a valid index", ms(opened), "ms", 200)
	if err := b.rebuild(ctx, s, "from the page cache", func() error { return nil }, 0); err != nil {
		return err
	}
	return b.rebuild(ctx, s, "from the disk", func() error { return forget(s.data) }, 0.5)
}

// rebuild measures rebuilding the index of s beside reading the file, each time after before.
func (b *bench) rebuild(ctx context.Context, s *source, where string, before func() error, target float64) error {
	read, err := b.median(func() (time.Duration, error) {
		if err := before(); err != nil {
			return 0, err
		}
		return readAll(s.data)
	})
	if err != nil {
		return err
	}
	rebuilt, err := b.median(func() (time.Duration, error) {
		return openOnce(ctx, s.data, errors.Join(before(), os.Remove(s.data+".index")))
	})
	if err != nil {
		return err
	}
	b.report.add("reading the file "+where, mb(s.bytes, read), "MB/s")
	b.report.add("rebuilding the index "+where, mb(s.bytes, rebuilt), "MB/s")
	ratio := read.Seconds() / rebuilt.Seconds()
	if target == 0 {
		b.report.add("rebuilding in units of reading", ratio, "of reading")
	} else {
		b.report.atLeast("rebuilding in units of reading", ratio, "of reading", target)
	}
	return nil
}

// forget takes the file out of the page cache.
func forget(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// openOnce measures opening the storage, after preparation has gone well.
func openOnce(ctx context.Context, data string, prepared error) (time.Duration, error) {
	if prepared != nil {
		return 0, prepared
	}
	begin := time.Now()
	storage, err := workload.Open(ctx, data, "")
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	return took, errors.Join(storage.Close())
}
