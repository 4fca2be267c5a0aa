package primary

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
)

// A seedLimits bounds how many secondaries are seeded at a time, and how many bytes per second all of them get. Its
// methods may be called concurrently.
type seedLimits struct {
	max  int
	rate int64 // 0: no bound

	mu   sync.Mutex
	held int
	next time.Time // when the next bytes may leave
}

// take counts one more seed, unless there are as many as there may be.
func (l *seedLimits) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held >= l.max {
		return false
	}
	l.held++
	return true
}

func (l *seedLimits) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held--
}

// wait returns when n more bytes may leave.
func (l *seedLimits) wait(ctx context.Context, n int) error {
	if l.rate <= 0 {
		return nil
	}
	if until := time.Until(l.turn(n, time.Now())); until > 0 && !pause.For(ctx, until) {
		return context.Cause(ctx)
	}
	return nil
}

// turn returns when n bytes may leave that are asked for now. What was not used before is not made up for.
func (l *seedLimits) turn(n int, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next.Before(now) {
		l.next = now
	}
	at := l.next
	l.next = at.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	return at
}
