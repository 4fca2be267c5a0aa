package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/zodb"
)

const (
	insideObjects = 1_000_000
	insideText    = 200  // bytes in each object, beside three references
	insideTxn     = 1000 // objects in a transaction
)

// inside measures what zrsd classes and refs read, beside reading the file, fsrefs of ZODB and a dry run of zodbupdate.
func (b *bench) inside(ctx context.Context, dir string) error {
	few, many := filepath.Join(dir, "few.fs"), filepath.Join(dir, "many.fs")
	n := b.scaled(insideObjects)
	if err := errors.Join(fillInside(ctx, few, n/2), fillInside(ctx, many, n)); err != nil {
		return err
	}
	classes, peak, err := b.scanned(ctx, many)
	if err != nil {
		return err
	}
	_, base, err := b.command(ctx, b.zrsd, "classes", few, "--json")
	if err != nil {
		return err
	}
	b.report.add("memory of zrsd classes", float64(peak)/1e6, "MB")
	b.report.atMost("memory, more than for half as many objects", float64(peak-base)/float64(n-n/2), "bytes/object",
		30)
	if b.tools == "" {
		return nil
	}
	update, _, err := b.command(ctx, b.tools, "-c", "from zodbupdate.main import main; main()", "-n", "-f", many)
	if err != nil {
		return err
	}
	b.report.add("zodbupdate's dry run", float64(n)/update.Seconds(), "records/s")
	b.report.add("zrsd classes", float64(n)/classes.Seconds(), "records/s")
	b.report.atLeast("zrsd classes in units of zodbupdate", update.Seconds()/classes.Seconds(), "times", 30)
	fsrefs, _, err := b.command(ctx, b.tools, "-m", "ZODB.scripts.fsrefs", many)
	if err != nil {
		return err
	}
	refs, err := b.median(func() (time.Duration, error) {
		took, _, err := b.command(ctx, b.zrsd, "refs", many, "--json")
		return took, err
	})
	if err != nil {
		return err
	}
	b.report.add("fsrefs", fsrefs.Seconds(), "s")
	b.report.add("zrsd refs", refs.Seconds(), "s")
	b.report.atLeast("zrsd refs in units of fsrefs", fsrefs.Seconds()/refs.Seconds(), "times", 20)
	return nil
}

// scanned measures zrsd classes beside reading the file, from the disk and from the page cache. It returns the latter
// time, and the most memory.
func (b *bench) scanned(ctx context.Context, path string) (classes time.Duration, peak int64, err error) {
	size, err := sizeOf(path)
	if err != nil {
		return 0, 0, err
	}
	for _, from := range []struct {
		name   string
		before func() error
	}{
		{"the disk", func() error { return forget(path) }},
		{"the page cache", func() error { return nil }},
	} {
		read, err := b.median(func() (time.Duration, error) {
			if err := from.before(); err != nil {
				return 0, err
			}
			return readAll(path)
		})
		if err != nil {
			return 0, 0, err
		}
		classes, err = b.median(func() (time.Duration, error) {
			if err := from.before(); err != nil {
				return 0, err
			}
			took, used, err := b.command(ctx, b.zrsd, "classes", path, "--json")
			peak = max(peak, used)
			return took, err
		})
		if err != nil {
			return 0, 0, err
		}
		b.report.add("reading the file from "+from.name, mb(size, read), "MB/s")
		b.report.add("zrsd classes from "+from.name, mb(size, classes), "MB/s")
		ratio, name := read.Seconds()/classes.Seconds(), "zrsd classes in units of reading from "+from.name
		if from.name == "the disk" {
			b.report.atLeast(name, ratio, "of reading", 0.6)
		} else {
			b.report.add(name, ratio, "of reading")
		}
	}
	return classes, peak, nil
}

// command runs a program to its end, and returns how long that took and how much memory it had at most, in bytes.
func (b *bench) command(ctx context.Context, name string, args ...string) (took time.Duration, peak int64, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	text, err := os.CreateTemp(b.dir, "output")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, text.Close(), os.Remove(text.Name())) }()
	cmd.Stdout, cmd.Stderr = text, text
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(text.Name())
		return 0, 0, fmt.Errorf("%s %v: %w\n%.2000s", name, args, err, said)
	}
	took = time.Since(begin)
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = usage.Maxrss << 10
	}
	return took, peak, nil
}

// fillInside makes a storage of n objects that Python can load, each of which refers to three others, and all of which
// the root leads to.
func fillInside(ctx context.Context, path string, n int) error {
	storage, err := workload.Open(ctx, path, "")
	if err != nil {
		return err
	}
	for first := 0; first < n && err == nil; first += insideTxn {
		err = fillTxn(ctx, storage, first, n)
	}
	return errors.Join(err, storage.Close())
}

func fillTxn(ctx context.Context, storage *filestorage.Storage, first, n int) error {
	txn, err := storage.Begin(ctx, &zodb.TxnMeta{})
	if err != nil {
		return err
	}
	for i := first; i < min(first+insideTxn, n); i++ {
		if err := txn.Store(zodb.Oid(i), 0, insideRecord(i, n)); err != nil {
			return errors.Join(err, txn.Abort())
		}
	}
	_, err = txn.Finish(ctx, nil)
	return err
}

// insideRecord is a persistent.mapping.PersistentMapping in protocol 3.
func insideRecord(i, n int) []byte {
	r := []byte("\x80\x03cpersistent.mapping\nPersistentMapping\nq\x00.\x80\x03}q\x01X\x04\x00\x00\x00dataq\x02}q\x03(")
	for key, to := range map[string]int{"a": 2*i + 1, "b": 2*i + 2, "c": i * 7919} {
		r = append(r, "X\x01\x00\x00\x00"+key+"C\x08"...)
		r = binary.BigEndian.AppendUint64(r, uint64(to%n))
		r = append(r, "h\x00\x86Q"...)
	}
	r = append(r, "X\x04\x00\x00\x00textX"...)
	r = binary.LittleEndian.AppendUint32(r, insideText)
	for range insideText / 4 {
		r = append(r, "text"...)
	}
	return append(r, "us."...)
}
