package zeoload

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// Dial connects to the server at addr and registers for its storage 1. Transactions begin as with ZEO's own client,
// without a wait. invalidated is that of client.Options, and may be nil.
func Dial(ctx context.Context, addr string, readOnly bool, invalidated func(tid zodb.Tid, oids []zodb.Oid)) (
	*client.Conn, error,
) {
	return client.Dial(ctx, []string{addr}, client.Options{
		ReadOnly: readOnly, AsyncBegin: true, Invalidated: invalidated,
	})
}

// DialWriter is Dial for a Writer, or Commits.
func DialWriter(ctx context.Context, addr string) (*client.Conn, error) {
	return client.Dial(ctx, []string{addr}, client.Options{AsyncBegin: true, Inline: true})
}

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

// play runs f for each connection and collects what they measured. The first error ends the context of all.
func play(
	ctx context.Context, conns []*client.Conn,
	f func(ctx context.Context, c *client.Conn, i int) ([]time.Duration, error),
) (*Outcome, error) {
	g, ctx := errgroup.WithContext(ctx)
	results := make([][]time.Duration, len(conns))
	begin := time.Now()
	for i, c := range conns {
		g.Go(func() (err error) {
			results[i], err = f(ctx, c, i)
			return err
		})
	}
	err := g.Wait()
	o := &Outcome{Took: time.Since(begin), Latencies: slices.Concat(results...)}
	slices.Sort(o.Latencies)
	return o, err
}
