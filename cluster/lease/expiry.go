package lease

import (
	"fmt"
	"sync"
	"time"
)

// Timing is how long a lease counts for its holder.
type Timing struct {
	TTL    time.Duration // of the lease, by the coordinator's clock
	Drift  float64       // the part by which this node's clock may be slower than the coordinator's
	Margin time.Duration // between the expiry at the holder and the earliest vacancy
}

// The smallest TTL that makes sense, and the defaults. Clocks that NTP disciplines differ by less than a thousandth.
const (
	MinTTL       = 2 * time.Second
	DefaultTTL   = 10 * time.Second
	defaultDrift = 0.01
)

// NewTiming returns the timing for a TTL: a hundredth of drift, and a twentieth of the TTL as the margin.
func NewTiming(ttl time.Duration) (Timing, error) {
	if ttl < MinTTL {
		return Timing{}, fmt.Errorf("a TTL of %v is too short for a renewal to be tried again: give %v or more",
			ttl, MinTTL)
	}
	return Timing{TTL: ttl, Drift: defaultDrift, Margin: ttl / 20}, nil
}

// validity is for how long a renewal counts, from when it was sent.
func (t Timing) validity() time.Duration {
	return t.TTL - time.Duration(float64(t.TTL)*t.Drift) - t.Margin
}

// A Clock measures the time since some moment before the process began. It runs while the process is stopped and
// while the machine sleeps, and is never set.
type Clock interface{ Now() time.Duration }

// An Expiry is until when the holder of the lease may report commits to clients, by its own clock. It is
// safe for concurrent use. At first it has passed.
type Expiry struct {
	clock Clock

	mu    sync.Mutex
	begun bool
	end   time.Duration
}

// Remaining is how much time is left: 0 when it has passed.
func (t *Expiry) Remaining() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun {
		return 0
	}
	return max(0, t.end-t.clock.Now())
}

// Valid reports whether it has not passed at this moment. The clock is read in the call, which must be the last step
// before a commit is reported.
func (t *Expiry) Valid() bool { return t.Remaining() > 0 }

// extend moves the expiry, which never comes nearer by that.
func (t *Expiry) extend(end time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun || end > t.end {
		t.begun, t.end = true, end
	}
}

// revoke has it pass now: before the lease is given back.
func (t *Expiry) revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun = false
}
