package primary

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
)

const (
	// seedTurn is how long a secondary may be seeded while another one waits for its turn.
	seedTurn = 5 * time.Minute
	// seedWaits is for how long a secondary that was refused counts as waiting: it comes again within a minute.
	seedWaits = 2 * time.Minute
	// maxWaiting is how many are remembered.
	maxWaiting = 64
)

// A seedLimits bounds how many secondaries are seeded at a time, how many bytes per second all of them get, and how
// much one may get while others wait. Its methods may be called concurrently.
type seedLimits struct {
	max  int
	rate int64 // 0: no bound
	most int64 // bytes of one turn, while others wait; 0: no bound

	mu      sync.Mutex
	held    int
	waiting map[string]time.Time // when a secondary was last refused, by its node id or name
	capped  map[string]time.Time // when the turn of a secondary was ended: those that wait go first
	next    time.Time            // when the next bytes may leave
}

// take counts one more seed, of a secondary, unless there are as many as there may be, or its turn was ended for others
// that have not had theirs.
func (l *seedLimits) take(who string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, capped := l.capped[who]
	if l.held >= l.max || capped && l.othersWait(who, now) {
		l.waiting = remember(l.waiting, who, now)
		return false
	}
	delete(l.waiting, who)
	delete(l.capped, who)
	l.held++
	return true
}

// remember notes a secondary, in place of the one that was noted longest ago where there are too many.
func remember(list map[string]time.Time, who string, now time.Time) map[string]time.Time {
	if list == nil {
		list = make(map[string]time.Time)
	}
	list[who] = now
	if len(list) > maxWaiting {
		oldest := who
		for other, at := range list {
			if at.Before(list[oldest]) {
				oldest = other
			}
		}
		delete(list, oldest)
	}
	return list
}

// othersWait reports whether another secondary was refused a short while ago, and has got no turn since.
func (l *seedLimits) othersWait(who string, now time.Time) bool {
	others := false
	for other, at := range l.waiting {
		if now.Sub(at) > seedWaits {
			delete(l.waiting, other)
			continue
		}
		others = others || other != who
	}
	return others
}

// over reports whether the turn of a secondary is over, which has got so many bytes since it began.
func (l *seedLimits) over(who string, sent int64, begun, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	enough := l.most > 0 && (sent >= l.most || now.Sub(begun) >= seedTurn)
	if !enough || l.held < l.max || !l.othersWait(who, now) {
		return false
	}
	l.capped = remember(l.capped, who, now)
	return true
}

// goesOn notes that a secondary waits no more: it gets its transactions one by one.
func (l *seedLimits) goesOn(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, who)
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
