package hashchain

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
)

// How the reader yields to others: after each turn it rests for as long as that took, and while
// the storage grows, as when a secondary catches up, much longer. Then it falls behind, which costs nothing: what a
// handshake needs is read for it.
const (
	turn     = 8 << 20                // bytes read at a time
	busyRest = 250 * time.Millisecond // after a turn in which the storage grew
)

// A throttle says when to rest. It is for one goroutine.
type throttle struct {
	since time.Time // when the turn began
	pos   int64     // where
	size  int64     // of the storage then
}

// step is told each place that was reached, and rests at the end of a turn.
func (p *throttle) step(ctx context.Context, pos, size int64) {
	if pos-p.pos >= 0 && pos-p.pos < turn {
		return
	}
	d := time.Since(p.since)
	if size != p.size {
		d = max(d, busyRest)
	}
	if p.size != 0 { // not before the first turn
		pause.For(ctx, d)
	}
	*p = throttle{time.Now(), pos, size}
}
