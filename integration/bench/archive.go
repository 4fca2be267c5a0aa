package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zeo/client"
)

// timeSet is what figures about the way back in time are measured with: two objects of 1 KB in a transaction, as a
// client's commits are measured with.
func (b *bench) timeSet() workload.Set {
	return workload.Set{Transactions: b.scaled(200_000), Records: 2, RecordSize: 1000}
}

// commitsToArchive is how many commits a second an archiver has to keep up with.
const commitsToArchive = 5000

// archive measures an archiver beside a node, and a restore.
func (b *bench) archive(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.timeSet())
	if err != nil {
		return err
	}
	node, addr, err := b.serve(ctx, s)
	if err != nil {
		return err
	}
	defer node.Kill() //nolint:errcheck // it has nothing to lose
	var cpus []time.Duration
	archived := func(n int) string { return filepath.Join(dir, fmt.Sprint("archive", n)) }
	took, err := b.median(func() (time.Duration, error) {
		to := archived(len(cpus))
		if err := os.Mkdir(to, 0o755); err != nil {
			return 0, err
		}
		took, cpu, err := timed(ctx, b.zrsd, "archive", "run", to, "--from", addr, "--once")
		cpus = append(cpus, cpu)
		return took, err
	})
	if err != nil {
		return err
	}
	n := float64(s.txns)
	b.report.atLeast("an archiver, as fast as it can", n/took.Seconds(), "transactions/s", commitsToArchive)
	b.report.atMost(fmt.Sprintf("its share of a core at %d commits/s", commitsToArchive),
		100*commitsToArchive*middle(cpus).Seconds()/n, "%", 15)
	return b.restores(ctx, s, archived(0))
}

// restores measures a restore beside reading the archive from the disk, and beside writing the file durably.
func (b *bench) restores(ctx context.Context, s *source, archive string) error {
	segments, err := filepath.Glob(filepath.Join(archive, "seg", "*", "*"))
	if err != nil {
		return err
	}
	cold := func() (err error) {
		for _, path := range segments {
			err = errors.Join(err, forget(path))
		}
		return err
	}
	read, err := b.median(func() (took time.Duration, err error) {
		if err := cold(); err != nil {
			return 0, err
		}
		for _, path := range segments {
			one, err := readAll(path)
			if err != nil {
				return 0, err
			}
			took += one
		}
		return took, nil
	})
	if err != nil {
		return err
	}
	written, err := b.median(func() (time.Duration, error) { return dd(ctx, s.data) })
	if err != nil {
		return err
	}
	var cpus []time.Duration
	restored, err := b.median(func() (time.Duration, error) {
		if err := cold(); err != nil {
			return 0, err
		}
		to := filepath.Join(s.dir, "restored")
		took, cpu, err := timed(ctx, b.zrsd, "archive", "restore", archive, "--data", filepath.Join(to, "Data.fs"),
			"--no-blobs")
		cpus = append(cpus, cpu)
		return took, errors.Join(err, os.RemoveAll(to))
	})
	if err != nil {
		return err
	}
	b.report.add("reading the archive from the disk", mb(s.bytes, read), "MB/s of the file")
	b.report.add("dd of the file with fsync", mb(s.bytes, written), "MB/s")
	b.report.add("a restore", mb(s.bytes, restored), "MB/s")
	b.report.add("a restore, processor time", mb(s.bytes, middle(cpus)), "MB/s of one core")
	b.report.atLeast("a restore in units of the slower of both", max(read, written).Seconds()/restored.Seconds(),
		"times", 0.8)
	return nil
}

// timed runs a command, and returns how long it took and its processor time.
func timed(ctx context.Context, name string, args ...string) (took, cpu time.Duration, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took = time.Since(begin)
	if err != nil {
		return 0, 0, fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// asOf measures loads of a live server, of one as of its last transaction, and of one that reads that from an archive.
func (b *bench) asOf(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.loadSet())
	if err != nil {
		return err
	}
	node, addr, err := b.serve(ctx, s)
	if err != nil {
		return err
	}
	archive := filepath.Join(dir, "archive")
	if err := os.Mkdir(archive, 0o755); err != nil {
		return err
	}
	_, _, err = timed(ctx, b.zrsd, "archive", "run", archive, "--from", addr, "--once")
	if err = errors.Join(err, node.Kill()); err != nil {
		return err
	}
	servers := []struct {
		name string
		args []string
	}{
		{"live", []string{"--data", s.data}},
		{"as of", []string{"--data", s.data, "--as-of", s.last.String()}},
		{"as of, from an archive", []string{"--from-archive", archive, "--as-of", s.last.String(), "--cache",
			filepath.Join(dir, "cache")}},
	}
	rates := make([][]time.Duration, len(servers)) // of a load: what median takes
	cpus := make([][]time.Duration, len(servers))
	for range b.runs {
		for i, one := range servers {
			t, err := b.loadsOf(ctx, s, one.args)
			if err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
			rates[i] = append(rates[i], time.Duration(float64(time.Second)/t.rate))
			cpus[i] = append(cpus[i], t.cpu)
		}
	}
	live := middle(rates[0])
	b.report.add("loads of the live server", 1/live.Seconds(), "loads/s")
	for i, one := range servers {
		b.report.add("loads "+one.name+", processor time of the server", us(middle(cpus[i])), "µs/load")
	}
	for i, one := range servers[1:] {
		took := middle(rates[i+1])
		b.report.add("loads "+one.name, 1/took.Seconds(), "loads/s")
		b.report.atLeast("loads "+one.name+" in units of live ones", live.Seconds()/took.Seconds(), "times", 0.8)
	}
	return nil
}

// loadsOf measures loads from a server with these arguments.
func (b *bench) loadsOf(ctx context.Context, s *source, args []string) (t trial, err error) {
	addr, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return t, err
	}
	log := filepath.Join(s.dir, "serve.log")
	process, err := daemon.RunLogged(log, b.zrsd, append([]string{"serve", "--zeo", addr}, args...)...)
	if err != nil {
		return t, err
	}
	defer process.Kill() //nolint:errcheck // it may have ended
	server := &zeoServer{addr: addr, data: s.data, pid: process.Pid()}
	if err := server.up(ctx, process.Exited()); err != nil {
		text, _ := os.ReadFile(log)
		return t, fmt.Errorf("%w\n%s", err, text)
	}
	conns, hangUp, err := server.clients(ctx, loadClients, reading)
	if err != nil {
		return t, err
	}
	defer hangUp()
	run := func(d time.Duration) (*zeoload.Outcome, error) {
		return zeoload.Loads(ctx, conns, s.objects, loadDepth, d)
	}
	if _, err := run(b.scaledTime() / 10); err != nil {
		return t, err
	}
	return server.try(func() (*zeoload.Outcome, error) { return run(b.scaledTime()) })
}

// reading is a dialer of clients that only read.
func reading(ctx context.Context, addr string) (*client.Conn, error) {
	return zeoload.Dial(ctx, addr, true, nil)
}

// repozo measures backups and verifications beside those of ZODB's repozo and what bounds them, from and to the page
// cache.
func (b *bench) repozo(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.timeSet())
	if err != nil {
		return err
	}
	md5, err := b.median(func() (time.Duration, error) { return md5sum(s.data) })
	if err != nil {
		return err
	}
	written, err := b.median(func() (time.Duration, error) { return dd(ctx, s.data) })
	if err != nil {
		return err
	}
	b.report.add("md5 of the file on one core", mb(s.bytes, md5), "MB/s")
	b.report.add("dd of the file with fsync", mb(s.bytes, written), "MB/s")
	programs := [][]string{{b.zrsd, "repozo"}, {b.zeo, "-m", "ZODB.scripts.repozo"}}
	if b.zeo == "" {
		programs = programs[:1]
	}
	took := make([]map[string][]time.Duration, len(programs))
	for range b.runs {
		for i, p := range programs {
			if took[i] == nil {
				took[i] = map[string][]time.Duration{}
			}
			if err := repozoOnce(ctx, dir, s.data, p, took[i]); err != nil {
				return err
			}
		}
	}
	for _, f := range []struct {
		name string
		goal float64
	}{{fullBackup, 5}, {verification, 10}, {zippedBackup, 5}} {
		mine := middle(took[0][f.name])
		b.report.add(f.name+" of zrsd repozo", mb(s.bytes, mine), "MB/s")
		if b.zeo != "" {
			theirs := middle(took[1][f.name])
			b.report.add(f.name+" of repozo", mb(s.bytes, theirs), "MB/s")
			b.report.atLeast(f.name+" in units of repozo's", theirs.Seconds()/mine.Seconds(), "times", f.goal)
		}
	}
	return nil
}

const (
	fullBackup   = "a full backup"
	verification = "a verification"
	zippedBackup = "a full backup with gzip"
)

// repozoOnce notes how long each command takes with a repozo.
func repozoOnce(ctx context.Context, dir, data string, program []string, into map[string][]time.Duration) error {
	run := func(name, repository string, args ...string) error {
		took, _, err := timed(ctx, program[0], slices.Concat(program[1:], args, []string{"-r", repository})...)
		into[name] = append(into[name], took)
		return err
	}
	repository, err := os.MkdirTemp(dir, "")
	if err != nil {
		return err
	}
	zipped, err := os.MkdirTemp(dir, "")
	if err != nil {
		return err
	}
	if err := run(fullBackup, repository, "-B", "-F", "-f", data); err != nil {
		return err
	}
	if err := run(verification, repository, "-V"); err != nil {
		return err
	}
	if err := run(zippedBackup, zipped, "-B", "-F", "-z", "-f", data); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(repository), os.RemoveAll(zipped))
}

// feed measures a feed of everything from a node, without decoded states.
func (b *bench) feed(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, b.timeSet())
	if err != nil {
		return err
	}
	node, _, err := b.serve(ctx, s)
	if err != nil {
		return err
	}
	defer node.Kill() //nolint:errcheck // it has nothing to lose
	out := filepath.Join(dir, "changes.jsonl")
	took, err := b.median(func() (time.Duration, error) {
		took, _, err := timed(ctx, b.zrsd, "feed", filepath.Join(dir, "admin"), "--output", out)
		return took, errors.Join(err, os.Remove(out))
	})
	if err != nil {
		return err
	}
	b.report.atLeast("a feed into a file", float64(s.txns)/took.Seconds(), "transactions/s", 20_000)
	return nil
}
