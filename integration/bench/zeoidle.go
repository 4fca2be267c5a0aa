package main

import (
	"context"
	"slices"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/zeo/client"
)

const (
	idleClients = 1000
	idleCommits = 50
)

// zeoIdle measures what clients cost that only listen, and how soon all of them know of a commit.
func (b *bench) zeoIdle(ctx context.Context, dir string) error {
	s, err := generate(ctx, dir, workload.Set{Transactions: 100, Records: 10, RecordSize: loadSize})
	if err != nil {
		return err
	}
	ours, theirs, err := inTurns(b, (*idle).key, func(p program) (*idle, error) { return b.idle(ctx, p, s) })
	if err != nil {
		return err
	}
	b.report.atMost("zrsd, memory for each client", float64(ours.memory)/1e3, "KB", 50)
	b.idleFigures("zrsd", ours)
	b.report.atMost("zrsd"+reached+", p99", ms(ours.p99), "ms", 50)
	if theirs != nil {
		theirs := *theirs
		b.report.add("runzeo, memory for each client", float64(theirs.memory)/1e3, "KB")
		b.idleFigures("runzeo", theirs)
		b.report.add("runzeo"+reached+", p99", ms(theirs.p99), "ms")
	}
	return nil
}

// reached names the figure that counts: what a client waits for, the disk included, and all others.
const reached = ", tpc_finish to last invalidation"

// An idle is what one run found. Its trial is that of commits, each from sending tpc_finish to the last client's
// invalidation.
type idle struct {
	trial

	memory  int64           // bytes of the server for each client
	replied []time.Duration // from the reply of tpc_finish, ascending; below 0 where all clients were faster
}

func (i *idle) key() float64 { return i.p99.Seconds() }

func (b *bench) idleFigures(name string, i *idle) {
	b.report.add(name+", processor time of the server", us(i.cpu), "µs/commit")
	b.report.add(name+", processor time of the generator", us(i.generator), "µs/commit")
	b.report.add(name+", its reply to last invalidation, p50", ms(quantile(i.replied, 0.5)), "ms")
	b.report.add(name+", its reply to last invalidation, p99", ms(quantile(i.replied, 0.99)), "ms")
	b.report.add(name+reached+", p50", ms(i.p50), "ms")
}

// idle measures on a copy of s.
func (b *bench) idle(ctx context.Context, p program, s *source) (*idle, error) {
	found := &idle{}
	return found, p.onCopy(ctx, s, 1, func(server *zeoServer, writers []*client.Conn) error {
		before, err := daemon.Memory(server.pid)
		if err != nil {
			return err
		}
		listeners, err := server.listen(ctx, idleClients)
		if err != nil {
			return err
		}
		defer listeners.end()
		after, err := daemon.Memory(server.pid)
		if err != nil {
			return err
		}
		found.memory = (after - before) / idleClients
		w, err := zeoload.NewWriter(writers[0], newOids, commitSize)
		if err != nil {
			return err
		}
		found.trial, err = server.try(func() (*zeoload.Outcome, error) { return found.commits(ctx, w, listeners) })
		return err
	})
}

// commits lets the writer commit, each time when all listeners know of the commit before.
func (i *idle) commits(ctx context.Context, w *zeoload.Writer, listeners *crowd) (*zeoload.Outcome, error) {
	begin := time.Now()
	o := &zeoload.Outcome{}
	for range idleCommits {
		if err := w.Vote(ctx); err != nil {
			return nil, err
		}
		sent := time.Now()
		if err := w.Finish(ctx); err != nil {
			return nil, err
		}
		replied := time.Now()
		last, err := listeners.heard(ctx)
		if err != nil {
			return nil, err
		}
		o.Latencies = append(o.Latencies, last.Sub(sent))
		i.replied = append(i.replied, last.Sub(replied))
	}
	o.Took = time.Since(begin)
	slices.Sort(o.Latencies)
	slices.Sort(i.replied)
	return o, nil
}
