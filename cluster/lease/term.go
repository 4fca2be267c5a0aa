package referee

import (
	"fmt"
	"sync"
	"time"
)

// Timing is the arithmetic of terms.
type Timing struct {
	TTL    time.Duration // of the office, by the referee's clock
	Drift  float64       // the part by which this node's clock may be slower than the referee's
	Margin time.Duration // between the end of a term and the earliest vacancy
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

// Term is for how long a renewal counts, from when it was sent.
func (t Timing) Term() time.Duration {
	return t.TTL - time.Duration(float64(t.TTL)*t.Drift) - t.Margin
}

// A Clock measures the time since some moment before the process began. It goes on while the process is stopped and
// while the machine sleeps, and nobody sets it.
type Clock interface{ Now() time.Duration }

// A Term is the time in which the holder of the office may tell that transactions are committed. It is safe for
// concurrent use. At first there is none.
type Term struct {
	clock Clock

	mu    sync.Mutex
	begun bool
	end   time.Duration
}

// Left is how much of the term is left: 0 when there is none.
func (t *Term) Left() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun {
		return 0
	}
	return max(0, t.end-t.clock.Now())
}

// Valid reports whether there is a term at this moment. The clock is read in the call, which is to be the last thing
// before something is told.
func (t *Term) Valid() bool { return t.Left() > 0 }

// extend moves the end of the term, which never comes nearer by that.
func (t *Term) extend(end time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun || end > t.end {
		t.begun, t.end = true, end
	}
}

// stop ends the term now: before the office is given back.
func (t *Term) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun = false
}
