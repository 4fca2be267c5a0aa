package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

const cachedBlob = 64 << 20

// blobCache measures how long a client waits for a blob: from a node that has all blobs, from one with a blob cache
// that has it, and from that one when it has to fetch it first, beside a plain copy over the loopback interface into a
// file.
func (b *bench) blobCache(ctx context.Context, dir string) (err error) {
	size := int64(b.scaled(cachedBlob))
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, make([]byte, size), 0o644); err != nil {
		return err
	}
	pair, err := b.cachePair(ctx, dir)
	if err != nil {
		return err
	}
	defer pair.stop()
	var copies, locals, misses, hits []time.Duration
	for i := range b.runs {
		oid := newOids + zodb.Oid(i)
		tid, err := zeoload.StoreBlob(ctx, pair.primary, oid, size)
		if err != nil {
			return err
		}
		if err := pair.node.Reached(ctx, tid); err != nil {
			return err
		}
		copied, err := tcpCopy(ctx, plain)
		if err != nil {
			return err
		}
		copies = append(copies, copied)
		for _, one := range []struct {
			conn *client.Conn
			took *[]time.Duration
		}{{pair.primary, &locals}, {pair.secondary, &misses}, {pair.secondary, &hits}} {
			begin := time.Now()
			if err := one.conn.FetchBlob(ctx, oid, tid, io.Discard); err != nil {
				return err
			}
			*one.took = append(*one.took, time.Since(begin))
		}
	}
	local, hit, miss, copied := middle(locals), middle(hits), middle(misses), middle(copies)
	b.report.add("a local blob", mb(size, local), "MB/s")
	b.report.add("hit", mb(size, hit), "MB/s")
	b.report.atLeast("hit in units of a local blob", local.Seconds()/hit.Seconds(), "of it", 1)
	b.report.add("TCP loopback copy into a file, one fsync", mb(size, copied), "MB/s")
	b.report.add("miss", mb(size, miss), "MB/s")
	b.report.atLeast("miss in units of the copy", copied.Seconds()/miss.Seconds(), "of it", 0.8)
	return nil
}

// A cachePair is a primary, a secondary with a blob cache, and a client of each.
type cachePair struct {
	node               *daemon.Process
	primary, secondary *client.Conn
	stops              []func()
}

func (p *cachePair) stop() {
	for _, stop := range p.stops {
		stop()
	}
}

func (b *bench) cachePair(ctx context.Context, dir string) (p *cachePair, err error) {
	p = &cachePair{}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := errors.Join(os.Mkdir(from, 0o755), os.Mkdir(to, 0o755)); err != nil {
		return p, err
	}
	if _, err := generate(ctx, from, workload.Set{Transactions: 1, Records: 1}); err != nil {
		return p, err
	}
	addr, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return p, err
	}
	_, p.primary, err = b.cacheNode(ctx, p, from, false, "primary", "--replicate-to", addr)
	if err != nil {
		return p, err
	}
	p.node, p.secondary, err = b.cacheNode(ctx, p, to, true, "secondary", "--replicate-from", addr, "--blob-cache-size",
		strconv.FormatInt(math.MaxInt64/200, 10))
	return p, err
}

// cacheNode starts a node in a folder, and a client of it.
func (b *bench) cacheNode(ctx context.Context, p *cachePair, dir string, readOnly bool, args ...string) (
	*daemon.Process, *client.Conn, error) {
	zeo, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return nil, nil, err
	}
	args = append(args, "--zeo", zeo)
	args = append(args, storageFlags(filepath.Join(dir, "Data.fs"), filepath.Join(dir, "blobs"))...)
	node, err := daemon.Start(b.zrsd, filepath.Join(dir, "admin"), nil, args...)
	if err != nil {
		return nil, nil, err
	}
	p.stops = append(p.stops, func() { _ = node.Kill() }) // it may have ended
	if err := node.Up(ctx); err != nil {
		return nil, nil, err
	}
	s := &zeoServer{addr: zeo}
	if err := s.up(ctx, node.Exited()); err != nil {
		return nil, nil, err
	}
	conns, hangUp, err := s.clients(ctx, 1, func(ctx context.Context, addr string) (*client.Conn, error) {
		return zeoload.Dial(ctx, addr, readOnly, nil)
	})
	if err != nil {
		return nil, nil, err
	}
	p.stops = append(p.stops, hangUp)
	return node, conns[0], nil
}
