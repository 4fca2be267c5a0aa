package zeoload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/zodb"
)

// An Outcome is what a run measured.
type Outcome struct {
	Took      time.Duration
	Latencies []time.Duration // of each operation, sorted
}

// PerSecond is the rate of operations.
func (o *Outcome) PerSecond() float64 { return float64(len(o.Latencies)) / o.Took.Seconds() }

// Quantile returns the latency that the fraction q of the operations did not exceed.
func (o *Outcome) Quantile(q float64) time.Duration {
	if len(o.Latencies) == 0 {
		return 0
	}
	return o.Latencies[min(int(q*float64(len(o.Latencies))), len(o.Latencies)-1)]
}

// play runs f for each connection until time is up, and collects what they measured.
func play(ctx context.Context, conns []*Conn, d time.Duration,
	f func(c *Conn, i int, until time.Time) ([]time.Duration, error)) (*Outcome, error) {
	g, ctx := errgroup.WithContext(ctx)
	results := make([][]time.Duration, len(conns))
	begin := time.Now()
	for i, c := range conns {
		stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // wakes f, whose error then counts
		g.Go(func() (err error) {
			defer stop()
			results[i], err = f(c, i, begin.Add(d))
			return err
		})
	}
	err := g.Wait()
	o := &Outcome{Took: time.Since(begin), Latencies: slices.Concat(results...)}
	slices.Sort(o.Latencies)
	return o, err
}

// Loads keeps depth loads of random objects with oids from 1 to objects in flight on every connection, for d.
func Loads(ctx context.Context, conns []*Conn, objects, depth int, d time.Duration) (*Outcome, error) {
	return play(ctx, conns, d, func(c *Conn, i int, until time.Time) ([]time.Duration, error) {
		l := loader{c: c, objects: objects, dice: rand.New(rand.NewPCG(1, uint64(i))),
			begun: make(map[zodb.Oid]time.Time, depth)}
		for range depth {
			l.load()
		}
		return l.run(until)
	})
}

type loader struct {
	c       *Conn
	objects int
	dice    *rand.Rand
	begun   map[zodb.Oid]time.Time // loads in flight
	took    []time.Duration
}

// load asks for an object that is not being loaded already: ids must differ.
func (l *loader) load() {
	for {
		oid := zodb.Oid(1 + l.dice.IntN(l.objects))
		if _, running := l.begun[oid]; !running {
			l.begun[oid] = time.Now()
			l.c.send(loadCall(oid))
			return
		}
	}
}

func (l *loader) run(until time.Time) ([]time.Duration, error) {
	for len(l.begun) > 0 {
		r, err := l.c.answer()
		if err != nil {
			return nil, err
		}
		begun, ours := l.begun[r.oid]
		if !ours || r.failed {
			return nil, fmt.Errorf("load of oid %v: asked for: %v, failed: %v: %q", r.oid, ours, r.failed, r.result)
		}
		now := time.Now()
		l.took = append(l.took, now.Sub(begun))
		delete(l.begun, r.oid)
		if now.Before(until) {
			l.load()
		}
	}
	return l.took, nil
}

// The ids of the generator's transactions and calls: one of each is under way at a time.
const (
	txnID    = 7
	voteID   = 2
	finishID = 3
)

var errConflict = errors.New("vote reported conflicts, although no two writers share an object")

// Commits commits transactions of two records of size bytes, one after the other on each connection, for d. Each writer
// has two objects of its own: 2i and 2i+1 above first, which are new.
func Commits(ctx context.Context, conns []*Conn, first zodb.Oid, size int, d time.Duration) (*Outcome, error) {
	record := message("\x80\x03cpersistent.mapping\nPersistentMapping\n.\x80\x03").bytes(make([]byte, size))
	record = append(record, opStop)
	return play(ctx, conns, d, func(c *Conn, i int, until time.Time) (took []time.Duration, err error) {
		var serial zodb.Tid
		for oid := first + 2*zodb.Oid(i); time.Now().Before(until); {
			begin := time.Now()
			if serial, err = c.commit(oid, serial, record); err != nil {
				return nil, err
			}
			took = append(took, time.Since(begin))
		}
		return took, nil
	})
}

// commit stores record as a new revision of oid and the one after.
func (c *Conn) commit(oid zodb.Oid, serial zodb.Tid, record []byte) (zodb.Tid, error) {
	c.send(beginCall(txnID), storeCall(txnID, oid, serial, record), storeCall(txnID, oid+1, serial, record),
		voteCall(voteID, txnID))
	r, err := c.answer()
	if err != nil {
		return 0, err
	}
	if r.failed || r.id != voteID {
		return 0, fmt.Errorf("vote: reply to call %d, failed: %v: %q", r.id, r.failed, r.result)
	}
	if len(r.result) > 0 && r.result[0] != ']' || len(r.result) > 1 && r.result[1] != opTuple {
		return 0, fmt.Errorf("%w: %q", errConflict, r.result)
	}
	c.send(finishCall(finishID, txnID))
	if r, err = c.answer(); err != nil {
		return 0, err
	}
	return r.tid()
}
