package zeoload

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// An Outcome is what a run measured.
type Outcome struct {
	Took      time.Duration
	Latencies []time.Duration // of each operation, sorted
}

// PerSecond is the rate of operations.
func (o *Outcome) PerSecond() float64 { return float64(len(o.Latencies)) / o.Took.Seconds() }

// Quantile returns the latency that the fraction q of the operations did not exceed; 0 when there were none.
func (o *Outcome) Quantile(q float64) time.Duration {
	if len(o.Latencies) == 0 {
		return 0
	}
	return o.Latencies[min(int(q*float64(len(o.Latencies))), len(o.Latencies)-1)]
}

// play runs f for each connection and collects what they measured. The end of ctx closes the connections.
func play(ctx context.Context, conns []*Conn, f func(c *Conn, i int) ([]time.Duration, error)) (*Outcome, error) {
	g, ctx := errgroup.WithContext(ctx)
	results := make([][]time.Duration, len(conns))
	begin := time.Now()
	for i, c := range conns {
		stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // wakes f, whose error then counts
		g.Go(func() (err error) {
			defer stop()
			results[i], err = f(c, i)
			return err
		})
	}
	err := g.Wait()
	o := &Outcome{Took: time.Since(begin), Latencies: slices.Concat(results...)}
	slices.Sort(o.Latencies)
	return o, err
}
