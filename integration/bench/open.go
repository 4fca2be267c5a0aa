package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
)

// open measures opening a storage of a million objects with its saved index, and rebuilding that index, beside reading
// the file from front to back. All three find the file in the page cache.
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
	read, err := b.median(func() (time.Duration, error) { return readAll(s.data) })
	if err != nil {
		return err
	}
	rebuilt, err := b.median(func() (time.Duration, error) {
		return openOnce(ctx, s.data, os.Remove(index))
	})
	if err != nil {
		return err
	}
	b.report.atMost("opening with a valid index", ms(opened), "ms", 200)
	b.report.add("reading the file from front to back", mb(s.bytes, read), "MB/s")
	b.report.add("rebuilding the index", mb(s.bytes, rebuilt), "MB/s")
	b.report.atLeast("rebuilding in units of reading", read.Seconds()/rebuilt.Seconds(), "of reading", 0.5)
	return nil
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
