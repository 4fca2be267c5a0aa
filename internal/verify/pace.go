package verify

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
)

// A pace keeps readers at so many bytes per second. It may be used concurrently.
type pace struct {
	rate int64 // 0: no limit

	mu   sync.Mutex
	next time.Time // when the next bytes may be read
}

// maxBurst is how much of the time in which nothing was read can be made up for.
const maxBurst = 100 * time.Millisecond

// spend waits until n more bytes may be read. The error is the cause of ctx.
func (p *pace) spend(ctx context.Context, n int64) error {
	if p.rate > 0 {
		pause.For(ctx, time.Until(p.turn(n, time.Now())))
	}
	return context.Cause(ctx)
}

// turn returns when it is the turn of n bytes that are asked for now.
func (p *pace) turn(n int64, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-maxBurst); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	return p.next
}
