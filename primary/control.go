package primary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// receive takes acknowledgements until the connection ends.
func (c *peer) receive(ctx context.Context, control *protocol.Control) error {
	for {
		msg, err := control.Receive(ctx)
		if errors.Is(err, protocol.ErrUnknownMessage) { // of a newer version, which must be able to do without
			c.log.Debug("ignored a message", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		now := c.p.opt.Now()
		c.heard.Store(now.UnixNano())
		switch m := msg.(type) {
		case *protocol.Ack:
			c.trouble(clean(m.Error))
			if !c.progress.ack(m.Applied, m.Durable, now) {
				return parting("the secondary acknowledged %v, which was never sent to it", max(m.Applied, m.Durable))
			}
		case *protocol.Goodbye:
			return fmt.Errorf("%w: %s", errGoodbye, clean(m.Reason))
		default:
			return parting("the secondary sent a message out of place: %T", m)
		}
	}
}

// trouble takes what the secondary says to stop it, and logs it when it changes.
func (c *peer) trouble(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text != c.problem && text != "" {
		c.log.Warn("a secondary is in trouble", "error", text)
	}
	c.problem = text
}

// beat sends heartbeats, and gives up a secondary that has been silent for too long.
func (c *peer) beat(ctx context.Context, control *protocol.Control) error {
	return every(ctx, c.p.opt.Heartbeat, func() error {
		now := c.p.opt.Now()
		if silent := now.Sub(time.Unix(0, c.heard.Load())); silent > c.p.opt.IdleTimeout {
			return fmt.Errorf("nothing was heard from the secondary for %v", silent.Round(time.Second))
		}
		return control.Send(&protocol.Heartbeat{LastTid: c.p.src.LastTid(), Size: c.p.src.Size(), Clock: now})
	})
}

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
			c.log.Warn("counting what a secondary lacks failed; its lag is shown as a lower bound", "error", err)
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
