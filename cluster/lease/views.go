package lease

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A viewCache keeps the latest view, and since when the lease is vacant.
type viewCache struct {
	mu     sync.Mutex
	view   View
	known  bool
	vacant int64 // the revision at which the vacancy was seen; 0: there is a holder

	lastContact time.Duration // when the coordinator last answered
	graceUntil  time.Duration // until when this node does not campaign
}

// update takes a younger view, and reports whether the lease has become vacant. A node that did not see how that came
// about, because it has just started or could not reach the coordinator, gives a primary in the same situation a TTL to
// take up its lease again.
func (k *viewCache) update(v View, now, ttl time.Duration) (fell bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	outOfContact := !k.known || now-k.lastContact > ttl/2
	k.lastContact = now
	if k.known && v.Revision <= k.view.Revision {
		return false
	}
	k.view, k.known = v, true
	switch {
	case v.Holder != nil:
		k.vacant, k.graceUntil = 0, 0
	case k.vacant == 0:
		k.vacant = v.Revision
		if outOfContact {
			k.graceUntil = now + ttl
		}
		return true
	}
	return false
}

func (k *viewCache) latest() (v View, vacant int64, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.view, k.vacant, k.known
}

// inGracePeriod reports whether this node still waits for a primary to come back.
func (k *viewCache) inGracePeriod(now time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return now < k.graceUntil
}

// watch keeps the latest view. A read that brings no change for a while is asked for again without waiting for one, so
// that a coordinator that does not answer is noticed.
func (l *Loop) watch(ctx context.Context) {
	var known int64
	for ctx.Err() == nil {
		reading, cancel := context.WithTimeout(ctx, l.renewInterval())
		v, err := l.coordinator.Read(reading, known)
		cancel()
		switch {
		case err == nil:
			known = v.Revision
			if l.views.update(v, l.opt.Clock.Now(), l.opt.Timing.TTL) {
				notify(l.publishNow)
			}
			notify(l.wake)
		case known != 0 && errors.Is(err, context.DeadlineExceeded):
			known = 0
		default:
			l.failed("answer", err)
			sleep(ctx, l.stepInterval(), nil)
		}
	}
}

// publishStatus publishes the node's status: often while others may wait for it.
func (l *Loop) publishStatus(ctx context.Context) {
	for ctx.Err() == nil {
		speaking, cancel := l.request(ctx)
		err := l.coordinator.Publish(speaking, l.memberStatus(), l.opt.Timing.TTL)
		cancel()
		l.failed("take the status of this node", err)
		pause := l.renewInterval()
		if err == nil {
			l.status.works(time.Now(), 2*pause)
		}
		if _, vacant, _ := l.views.latest(); err != nil || vacant != 0 {
			pause = 2 * l.stepInterval()
		}
		sleep(ctx, pause, l.publishNow)
	}
}

// sleep waits for d, for the channel, or until ctx ends.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}
