package referee

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A lookout keeps the latest view, and since when the office is vacant.
type lookout struct {
	mu     sync.Mutex
	view   View
	known  bool
	vacant int64 // the revision at which the vacancy was seen; 0: there is a holder

	contact time.Duration // when the referee last answered
	wait    time.Duration // until when this node does not campaign
}

// see takes a younger view, and reports whether the office has become vacant. A node that did not see how that came
// about, because it has just started or could not reach the referee, gives a primary in the same situation a TTL to
// take up its office again.
func (k *lookout) see(v View, now, ttl time.Duration) (fell bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	blind := !k.known || now-k.contact > ttl/2
	k.contact = now
	if k.known && v.Revision <= k.view.Revision {
		return false
	}
	k.view, k.known = v, true
	switch {
	case v.Holder != nil:
		k.vacant, k.wait = 0, 0
	case k.vacant == 0:
		k.vacant = v.Revision
		if blind {
			k.wait = now + ttl
		}
		return true
	}
	return false
}

func (k *lookout) latest() (v View, vacant int64, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.view, k.vacant, k.known
}

// waits reports whether this node still waits for a primary to come back.
func (k *lookout) waits(now time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return now < k.wait
}

// watch keeps the latest view. A read that brings no change for a while is asked for again without waiting for one, so
// that a referee that does not answer is noticed.
func (l *Loop) watch(ctx context.Context) {
	var known int64
	for ctx.Err() == nil {
		reading, cancel := context.WithTimeout(ctx, l.renewal())
		v, err := l.ref.Read(reading, known)
		cancel()
		switch {
		case err == nil:
			known = v.Revision
			if l.look.see(v, l.opt.Clock.Now(), l.opt.Timing.TTL) {
				nudge(l.speak)
			}
			nudge(l.wake)
		case known != 0 && errors.Is(err, context.DeadlineExceeded):
			known = 0
		default:
			l.failed("answer", err)
			rest(ctx, l.beat(), nil)
		}
	}
}

// herald publishes the node's standing: often while others may wait for it.
func (l *Loop) herald(ctx context.Context) {
	for ctx.Err() == nil {
		speaking, cancel := l.patience(ctx)
		err := l.ref.Publish(speaking, l.standing(), l.opt.Timing.TTL)
		cancel()
		l.failed("take the standing of this node", err)
		pause := l.renewal()
		if _, vacant, _ := l.look.latest(); err != nil || vacant != 0 {
			pause = 2 * l.beat()
		}
		rest(ctx, pause, l.speak)
	}
}

// rest waits for d, for the channel, or until ctx ends.
func rest(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}
