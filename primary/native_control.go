package primary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
)

// receive takes acknowledgements until the connection ends.
func (c *native) receive(ctx context.Context, control *protocol.Control) error {
	for {
		msg, err := control.Receive(ctx)
		if errors.Is(err, protocol.ErrUnknownMessage) { // of a newer version, which must be able to do without
			c.log.Debug("ignored a message", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		now := c.p.opt.now()
		c.heard.Store(now.UnixNano())
		switch m := msg.(type) {
		case *protocol.Ack:
			c.trouble(clean(m.Error), m.Trouble)
			if c.seedAck(m, now) {
				continue
			}
			if !c.progress.ack(m.Applied, m.Durable, now) {
				return goodbye("the secondary acknowledged %v, which was never sent to it", max(m.Applied, m.Durable))
			}
			c.p.quorum.ack(c.countsAs(), c.name, c.p.counted(m.Applied), c.p.counted(m.Durable))
		case *protocol.HandoverReady:
			c.takeHandoverReady(m)
		case *protocol.Goodbye:
			return fmt.Errorf("%w: %s", errGoodbye, clean(m.Reason))
		default:
			return goodbye("the secondary sent an unexpected message: %T", m)
		}
	}
}

// trouble takes what the secondary says to stop it, and logs it when it changes.
func (c *native) trouble(text, kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text != c.problem && text != "" {
		c.p.loud.Warn(c.log, c.source+" "+c.name, text, "a secondary reported an error", "error", text,
			"warning", warning.SecondaryFailed)
	}
	c.problem, c.problemKind = text, knownTrouble(kind)
}

// sendHeartbeats sends heartbeats, and closes the connection of a secondary that has been silent for too long.
func (c *native) sendHeartbeats(ctx context.Context, control *protocol.Control) error {
	return every(ctx, c.p.opt.Heartbeat, func() error {
		now := c.p.opt.now()
		if silent := now.Sub(time.Unix(0, c.heard.Load())); silent > c.p.opt.IdleTimeout {
			return fmt.Errorf("nothing was heard from the secondary for %v", silent.Round(time.Second))
		}
		return control.Send(&protocol.Heartbeat{
			LastTid: c.p.src.LastTid(), Size: c.p.src.Size(), Clock: now,
			Roster: c.p.rosterEntries(), Sync: c.p.info().Sync,
		})
	})
}
