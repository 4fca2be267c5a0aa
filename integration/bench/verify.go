package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/verify"
)

// verify measures a pass beside reading the file from front to back, from the disk, and how long it takes to compare
// two nodes that are equal.
func (b *bench) verify(ctx context.Context, dir string) error {
	for name, set := range map[string]workload.Set{"large records": b.firstSet(), "small records": b.secondSet()} {
		at := filepath.Join(dir, name[:5])
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		s, err := generate(ctx, at, set)
		if err != nil {
			return err
		}
		if err := b.passes(ctx, s, name); err != nil {
			return err
		}
	}
	return b.compareEqual(ctx, dir)
}

// passes measures passes over a file, the first of which has nothing to compare with.
func (b *bench) passes(ctx context.Context, s *source, name string) error {
	read, err := b.median(func() (time.Duration, error) {
		if err := forget(s.data); err != nil {
			return 0, err
		}
		return readAll(s.data)
	})
	if err != nil {
		return err
	}
	verified, err := b.median(func() (time.Duration, error) {
		if err := forget(s.data); err != nil {
			return 0, err
		}
		begin := time.Now()
		_, err := b.verifyOnce(ctx, s.data)
		return time.Since(begin), err
	})
	if err != nil {
		return err
	}
	b.report.add("reading the file from the disk, "+name, mb(s.bytes, read), "MB/s")
	b.report.add("a verification, "+name, mb(s.bytes, verified), "MB/s")
	b.report.atLeast("a verification in units of reading, "+name, read.Seconds()/verified.Seconds(), "of reading", 0.7)
	return nil
}

// verifyOnce runs zrsd verify.
func (b *bench) verifyOnce(ctx context.Context, args ...string) (*verify.Pass, error) {
	out, err := exec.CommandContext(ctx, b.zrsd, append([]string{"verify", "--once", "--json"}, args...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("zrsd verify %v: %w\n%s", args, err, out)
	}
	pass := new(verify.Pass)
	return pass, json.Unmarshal(out, pass)
}

// compareEqual measures comparing two nodes of the first set, beyond what each reads of its own file.
func (b *bench) compareEqual(ctx context.Context, dir string) error {
	data := filepath.Join(dir, "large", "Data.fs")
	addr, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return err
	}
	node, err := daemon.Start(b.zrsd, filepath.Join(dir, "admin"), nil, "primary", "--data", data, "--replicate-to",
		addr, "--verify-interval", "0")
	if err != nil {
		return err
	}
	defer node.Kill() //nolint:errcheck // it was only asked
	if err := node.Up(ctx); err != nil {
		return err
	}
	if _, err := node.Await(ctx, "its chain is complete", chainComplete); err != nil {
		return err
	}
	copied := filepath.Join(dir, "copy.fs")
	if err := errors.Join(copyFile(copied, data), os.RemoveAll(copied+".index")); err != nil {
		return err
	}
	alone, err := b.verifyOnce(ctx, copied)
	if err != nil {
		return err
	}
	with, err := b.verifyOnce(ctx, copied, "--peer", addr)
	if err != nil || with.NoChange != 1 {
		return errors.Join(err, fmt.Errorf("the copies are not equal: %v", with))
	}
	b.report.atMost("comparing two equal nodes", max(with.Seconds-alone.Seconds, 0), "s", 1)
	b.report.atMost("bytes between them", float64(with.PeerBytes)/1e3, "KB", 1000)
	return nil
}

func chainComplete(st *admin.Status) bool {
	c := st.Storage.Chain
	return c != nil && c.Tid != nil && c.Behind == 0 && *c.Tid == st.LastTid()
}
