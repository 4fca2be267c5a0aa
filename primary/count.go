package primary

import (
	"context"
	"errors"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// count keeps the number of transactions that the secondary has still to get. Each is counted once, by its header, so
// that a long backlog is known soon after connecting and costs little afterwards.
func (c *peer) count(ctx context.Context) error {
	return every(ctx, c.p.opt.Heartbeat, func() error {
		after, begun := c.progress.uncounted()
		if !begun || after >= c.p.src.LastTid() {
			return nil
		}
		n, upTo, err := c.p.src.Count(ctx, after)
		switch {
		case err == nil:
			c.progress.count(after, n, upTo)
		case ctx.Err() == nil && !errors.Is(err, zodb.ErrNoTid):
			c.log.Warn("counting a secondary's missing transactions failed; its lag is shown as a lower bound",
				"error", err)
		}
		return nil
	})
}

// every calls f now and at every interval until it fails or ctx ends.
func every(ctx context.Context, interval time.Duration, f func() error) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		if err := f(); err != nil {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
