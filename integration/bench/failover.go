package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

const (
	switchClients = 50
	switchPace    = 100 * time.Millisecond // of each client: 500 commits/s
	switchRuns    = 50
	switchApart   = 500 * time.Millisecond
	promoteRuns   = 20
)

// switchovers hands over back and forth while clients commit, and looks for every commit that was acknowledged.
func (b *bench) switchovers(ctx context.Context, dir string) (err error) {
	nodes, err := b.twoNodes(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAll(nodes)) }()
	writers := newWriters(ctx, []string{nodes[0].zeo, nodes[1].zeo})
	held, seen, err := handOver(ctx, nodes, writers, b.scaled(switchRuns))
	acknowledged := writers.end()
	if err != nil {
		return err
	}
	lost, err := missing(ctx, nodes, acknowledged)
	if err != nil {
		return err
	}
	b.report.add("switchovers", float64(len(held)), "times")
	b.report.add("commits meanwhile", float64(len(acknowledged)), "commits")
	b.report.atMost("commits that were acknowledged and are lost", float64(lost), "commits", 0)
	b.report.add("commits held, p50", ms(quantile(held, 0.5)), "ms")
	b.report.add("commits held, p99", ms(quantile(held, 0.99)), "ms")
	b.report.add("no client committed anything, p50", ms(quantile(seen, 0.5)), "ms")
	b.report.atMost("no client committed anything, p99", ms(quantile(seen, 0.99)), "ms", 1000)
	return nil
}

// handOver switches over n times, and returns for how long the servers held commits, and for how long clients saw none
// acknowledged, both ascending.
func handOver(ctx context.Context, nodes []*node, writers *writers, n int) (held, seen []time.Duration, err error) {
	for i := range n {
		if err := rest(ctx, switchApart); err != nil {
			return nil, nil, err
		}
		from, to := nodes[i%2], nodes[1-i%2]
		if _, err := to.Await(ctx, "it is live", func(st *admin.Status) bool {
			return st.Upstream != nil && st.Upstream.State == "live"
		}); err != nil {
			return nil, nil, err
		}
		begin := time.Now()
		change, err := from.switchTo(ctx, to)
		if err != nil {
			return nil, nil, fmt.Errorf("switchover %d: %w", i, err)
		}
		if err := rest(ctx, switchApart); err != nil {
			return nil, nil, err
		}
		held = append(held, time.Duration(*change.Pause*float64(time.Second)))
		seen = append(seen, writers.gap(begin))
	}
	slices.Sort(held)
	slices.Sort(seen)
	return held, seen, nil
}

func rest(ctx context.Context, d time.Duration) error {
	if !pause.For(ctx, d) {
		return context.Cause(ctx)
	}
	return nil
}

// missing stops the nodes and counts the transactions that were acknowledged and are not on the one that is primary.
func missing(ctx context.Context, nodes []*node, acknowledged []zodb.Tid) (lost int, err error) {
	var primary *node
	for _, s := range nodes {
		st, err := s.Status(ctx)
		if err != nil {
			return 0, err
		}
		if st.Role == "primary" {
			primary = s
		}
	}
	if primary == nil {
		return 0, errors.New("no node is primary")
	}
	if err := stopAll(nodes); err != nil {
		return 0, err
	}
	tids, err := primary.has(ctx)
	if err != nil {
		return 0, err
	}
	for _, tid := range acknowledged {
		if !tids[tid] {
			lost++
		}
	}
	return lost, nil
}

// promotions kills the primary and promotes the other node, again and again.
func (b *bench) promotions(ctx context.Context, dir string) (err error) {
	nodes, err := b.twoNodes(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAll(nodes)) }()
	writers := newWriters(ctx, []string{nodes[0].zeo, nodes[1].zeo})
	defer writers.end()
	var took []time.Duration
	for i := range b.scaled(promoteRuns) {
		primary, other := nodes[i%2], nodes[1-i%2]
		if _, err := other.Await(ctx, "it is live", func(st *admin.Status) bool {
			return st.Upstream != nil && st.Upstream.State == "live"
		}); err != nil {
			return err
		}
		writers.hold() // so that nothing has to be rewound afterwards
		last, err := primary.Status(ctx)
		if err == nil && last.Storage.LastTid != nil {
			err = other.Reached(ctx, *last.Storage.LastTid)
		}
		if err := errors.Join(err, primary.Kill()); err != nil {
			return err
		}
		d, err := other.promote(ctx)
		if err != nil {
			return err
		}
		took = append(took, d)
		writers.release()
		if err := primary.start(ctx); err != nil {
			return err
		}
	}
	slices.Sort(took)
	b.report.add("promotion of a live secondary, p50", ms(quantile(took, 0.5)), "ms")
	b.report.atMost("promotion of a live secondary, slowest", ms(took[len(took)-1]), "ms", 300)
	return nil
}

// writers commit, each at its pace, to whichever of the servers takes them.
type writers struct {
	addrs []string
	stop  context.CancelFunc
	all   sync.WaitGroup

	gate sync.RWMutex // held for writing: nobody commits

	mu   sync.Mutex
	acks []time.Time // of commits, in their order
	tids []zodb.Tid
}

func newWriters(ctx context.Context, addrs []string) *writers {
	ctx, stop := context.WithCancel(ctx)
	w := &writers{addrs: addrs, stop: stop}
	for i := range switchClients {
		w.all.Go(func() { w.write(ctx, zodb.Oid(i+1)) })
	}
	return w
}

func (w *writers) hold()    { w.gate.Lock() }
func (w *writers) release() { w.gate.Unlock() }

// end stops all and returns what was acknowledged.
func (w *writers) end() []zodb.Tid {
	w.stop()
	w.all.Wait()
	return w.tids
}

// gap is the longest time after begin, up to now, in which no commit was acknowledged.
func (w *writers) gap(begin time.Time) (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := begin
	for _, at := range w.acks {
		if at.After(before) {
			longest = max(longest, at.Sub(before))
			before = at
		}
	}
	return max(longest, time.Since(before))
}

// write commits changes of one object until ctx ends, with a new connection whenever one ends.
func (w *writers) write(ctx context.Context, oid zodb.Oid) {
	due := time.NewTicker(switchPace)
	defer due.Stop()
	var conn *client.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for ctx.Err() == nil {
		if conn == nil {
			var err error
			if conn, err = client.Dial(ctx, w.addrs, client.Options{}); err != nil {
				conn = nil
				_ = rest(ctx, 5*time.Millisecond) // the loop asks ctx
				continue
			}
		}
		if err := w.commit(ctx, conn, oid); err != nil {
			conn.Close()
			conn = nil
			continue
		}
		select {
		case <-due.C:
		case <-ctx.Done():
		}
	}
}

// commit makes one commit and notes that it was acknowledged.
func (w *writers) commit(ctx context.Context, conn *client.Conn, oid zodb.Oid) error {
	w.gate.RLock()
	defer w.gate.RUnlock()
	serial, err := serialOf(ctx, conn, oid)
	if err != nil {
		return err
	}
	txn, err := conn.Begin(ctx, &zodb.TxnMeta{})
	if err != nil {
		return err
	}
	if err := txn.Store(ctx, oid, serial, make([]byte, commitSize)); err != nil {
		return err
	}
	tid, err := txn.Commit(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks, w.tids = append(w.acks, time.Now()), append(w.tids, tid)
	return nil
}

// serialOf returns the current revision of an object, 0 where there is none yet.
func serialOf(ctx context.Context, conn *client.Conn, oid zodb.Oid) (zodb.Tid, error) {
	rev, err := conn.Load(ctx, oid)
	var none *zodb.POSKeyError
	switch {
	case errors.As(err, &none):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return rev.Tid, nil
}
