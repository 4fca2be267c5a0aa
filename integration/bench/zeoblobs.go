package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/daemon"
)

const (
	zeoBlob   = 256 << 20
	blobShare = 0.7 // of a plain copy's rate
)

// zeoBlobs moves a large blob both ways between a client and the server, beside plain copies of as many bytes over the
// loopback interface: into a file with one fsync for storing, which ends when the blob is durable, and into nothing for
// fetching, where the client of this program throws away what it gets.
func (b *bench) zeoBlobs(ctx context.Context, dir string) error {
	size := int64(b.scaled(zeoBlob))
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, make([]byte, size), 0o644); err != nil {
		return err
	}
	var stores, fetches []time.Duration
	ours, theirs, err := inTurns(b, moved.key, func(p program) (moved, error) {
		stored, err := tcpCopy(ctx, plain)
		if err != nil {
			return moved{}, err
		}
		fetched, err := tcpDiscard(ctx, plain)
		if err != nil {
			return moved{}, err
		}
		stores, fetches = append(stores, stored), append(fetches, fetched)
		return b.moveBlob(ctx, p, filepath.Join(dir, p.name), size)
	})
	if err != nil {
		return err
	}
	store, fetch := middle(stores), middle(fetches)
	b.report.add("storing: TCP loopback copy, one fsync", mb(size, store), "MB/s")
	b.report.add("storing: zrsd", mb(size, ours.stored), "MB/s")
	b.report.add("storing: zrsd, processor time of the server", ms(ours.cpu), "ms")
	if theirs != nil {
		b.report.add("storing: runzeo", mb(size, theirs.stored), "MB/s")
		b.report.add("storing: runzeo, processor time of the server", ms(theirs.cpu), "ms")
	}
	b.report.atLeast("storing: zrsd in units of the copy", store.Seconds()/ours.stored.Seconds(), "of it", blobShare)
	b.report.add("fetching: TCP loopback copy", mb(size, fetch), "MB/s")
	b.report.add("fetching: zrsd", mb(size, ours.fetched), "MB/s")
	if theirs != nil {
		b.report.add("fetching: runzeo", mb(size, theirs.fetched), "MB/s")
	}
	b.report.atLeast("fetching: zrsd in units of the copy", fetch.Seconds()/ours.fetched.Seconds(), "of it", blobShare)
	return nil
}

// A moved is how long a blob took each way.
type moved struct {
	stored, fetched time.Duration
	cpu             time.Duration // of the server, for storing
}

func (m moved) key() float64 { return (m.stored + m.fetched).Seconds() }

// moveBlob measures in the new folder dir, which it removes.
func (b *bench) moveBlob(ctx context.Context, p program, dir string, size int64) (m moved, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := generate(ctx, dir, workload.Set{Transactions: 1, Records: 1})
	if err != nil {
		return m, err
	}
	server, err := p.serve(ctx, s.data, filepath.Join(dir, "blobs"))
	if err != nil {
		return m, err
	}
	defer server.stop()
	conns, hangUp, err := server.clients(ctx, 1, all)
	if err != nil {
		return m, err
	}
	defer hangUp()
	before, err := daemon.CPUTime(server.pid)
	if err != nil {
		return m, err
	}
	begin := time.Now()
	tid, err := zeoload.StoreBlob(ctx, conns[0], newOids, size)
	if err != nil {
		return m, err
	}
	m.stored = time.Since(begin)
	if m.cpu, err = usedSince(before, server.pid, 1); err != nil {
		return m, err
	}
	begin = time.Now()
	err = conns[0].FetchBlob(ctx, newOids, tid, io.Discard)
	m.fetched = time.Since(begin)
	return m, err
}
