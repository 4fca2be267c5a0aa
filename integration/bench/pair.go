package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zodb"
)

// A source is a finished storage on disk.
type source struct {
	dir     string
	data    string
	blobs   string // empty: no blob directory
	last    zodb.Tid
	objects int
	txns    int
	bytes   int64 // Data.fs and blobs
}

// generate writes a source with the set's transactions into dir.
func generate(ctx context.Context, dir string, set workload.Set) (*source, error) {
	s := &source{dir: dir, data: filepath.Join(dir, "Data.fs"), txns: set.Transactions}
	if set.BlobMax > 0 {
		s.blobs = filepath.Join(dir, "blobs")
	}
	begin := time.Now()
	if err := s.grow(ctx, set, 1); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "   generated %d MB in %.1f s\n", s.bytes/1e6, time.Since(begin).Seconds())
	return s, nil
}

// grow appends the set's transactions.
func (s *source) grow(ctx context.Context, set workload.Set, seed uint64) error {
	storage, err := workload.Open(ctx, s.data, s.blobs)
	if err != nil {
		return err
	}
	if err := workload.Fill(ctx, storage, set, seed); err != nil {
		return errors.Join(err, storage.Close())
	}
	s.last, s.objects = storage.LastTid(), storage.Len()
	if err := storage.Close(); err != nil {
		return err
	}
	s.bytes, err = sizeOf(s.data, s.blobs)
	return err
}

// sizeOf returns the bytes in the files and below the folders named; an empty name counts nothing.
func sizeOf(paths ...string) (total int64, err error) {
	for _, path := range paths {
		if path == "" {
			continue
		}
		err := filepath.Walk(path, func(_ string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				total += info.Size()
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}

// A catchUp is the outcome of one secondary reaching its primary.
type catchUp struct {
	took             time.Duration
	primary, replica int64         // peak memory, bytes
	cpu              time.Duration // of both processes, until then
	seeds            int64         // connections on which the file was taken as it is
}

// serve starts a primary process on the source.
func (b *bench) serve(ctx context.Context, s *source) (p *daemon.Process, addr string, err error) {
	if addr, err = endpoint.FreeAddress(ctx); err != nil {
		return nil, "", err
	}
	args := append([]string{"primary", "--replicate-to", addr}, storageFlags(s.data, s.blobs)...)
	if p, err = daemon.Start(b.zrsd, filepath.Join(s.dir, "admin"), nil, args...); err != nil {
		return nil, "", err
	}
	return p, addr, p.Up(ctx)
}

func storageFlags(data, blobs string) []string {
	if blobs == "" {
		return []string{"--data", data}
	}
	return []string{"--data", data, "--blobs", blobs}
}

// follow starts a secondary process in dir and measures until it has all of s, durable. The secondary is then stopped;
// its files stay.
func (b *bench) follow(ctx context.Context, s *source, dir, from string, flags ...string) (
	took time.Duration, peak int64, err error,
) {
	took, peak, _, err = b.followed(ctx, s, dir, from, flags...)
	return took, peak, err
}

// followed does so, and returns the processor time of the secondary until then as well.
func (b *bench) followed(ctx context.Context, s *source, dir, from string, flags ...string) (
	took time.Duration, peak int64, cpu time.Duration, err error,
) {
	blobs := ""
	if s.blobs != "" {
		blobs = filepath.Join(dir, "blobs")
	}
	args := storageFlags(filepath.Join(dir, "Data.fs"), blobs)
	args = append(append([]string{"secondary", "--replicate-from", from}, args...), flags...)
	begin := time.Now()
	p, err := daemon.Start(b.zrsd, filepath.Join(dir, "admin"), nil, args...)
	if err != nil {
		return 0, 0, 0, err
	}
	if err := p.Reached(ctx, s.last); err != nil {
		return 0, 0, 0, errors.Join(err, p.Kill())
	}
	took = time.Since(begin)
	if cpu, err = daemon.CPUTime(p.Pid()); err != nil {
		return 0, 0, 0, err
	}
	if peak, err = p.PeakMemory(); err != nil {
		return 0, 0, 0, err
	}
	if code, err := p.Stop(ctx); err != nil || code != 0 {
		return 0, 0, 0, fmt.Errorf("stopping the secondary: exit code %d, %w\n%s", code, err, p.Log().Tail())
	}
	return took, peak, cpu, nil
}

// catchUp measures one secondary with the extra flags from empty, with a fresh primary process, and removes its files.
func (b *bench) catchUp(ctx context.Context, s *source, flags ...string) (c catchUp, err error) {
	p, addr, err := b.serve(ctx, s)
	if err != nil {
		return c, err
	}
	defer p.Kill() //nolint:errcheck // it has nothing to lose

	// As that of a primary is that has been up for some time.
	if _, err := p.Await(ctx, "its chain is complete", chainComplete); err != nil {
		return c, err
	}
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return c, err
	}
	before, err := daemon.CPUTime(p.Pid())
	if err != nil {
		return c, err
	}
	if c.took, c.replica, c.cpu, err = b.followed(ctx, s, dir, addr, flags...); err != nil {
		return c, err
	}
	after, err := daemon.CPUTime(p.Pid())
	if err != nil {
		return c, err
	}
	c.cpu += after - before
	if c.primary, err = p.PeakMemory(); err != nil {
		return c, err
	}
	st, err := p.Status(ctx)
	if err != nil {
		return c, err
	}
	c.seeds = st.Totals.CatchUps.Seed
	return c, discard(dir)
}
