package lease

import (
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A setClock shows what it was set to.
type setClock struct{ now time.Duration }

func (c *setClock) Now() time.Duration { return c.now }

// The time that a holder counts from the sending, on any clock within the drift, ends before the lease that was granted
// at the sending or later, and by at least the margin where the clock is right.
func TestTheValidityOfALeaseEndsBeforeTheCoordinatorsLease(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ttl := time.Duration(rapid.Int64Range(int64(MinTTL), int64(time.Hour)).Draw(t, "ttl"))
		timing, err := NewTiming(ttl)
		if err != nil {
			t.Fatal(err)
		}
		slow := rapid.Float64Range(0, timing.Drift).Draw(t, "slow")
		longest := time.Duration(float64(timing.validity()) / (1 - slow))
		if longest >= ttl {
			t.Fatalf("on a clock slow by %v a validity of %v takes %v", slow, timing.validity(), longest)
		}
		if timing.validity() > ttl-timing.Margin || timing.validity() < ttl*9/10 {
			t.Fatalf("expiry %v of TTL %v with margin %v", timing.validity(), ttl, timing.Margin)
		}
	})
}

func TestATTLThatIsTooShortIsRefused(t *testing.T) {
	if _, err := NewTiming(MinTTL - 1); err == nil {
		t.Error("accepted")
	}
}

func TestALeaseIsValidUntilItExpires(t *testing.T) {
	clock := &setClock{now: 100}
	expiry := &Expiry{clock: clock}
	if expiry.Valid() {
		t.Error("valid before any expiry")
	}
	expiry.extend(110)
	for now, want := range map[time.Duration]time.Duration{100: 10, 109: 1, 110: 0, 111: 0} {
		clock.now = now
		if got := expiry.Remaining(); got != want {
			t.Errorf("at %d there is %d left, want %d", now, got, want)
		}
	}
	clock.now = 105
	expiry.extend(107)
	if got := expiry.Remaining(); got != 5 {
		t.Errorf("an earlier renewal, answered later, made the expiry %d long", got)
	}
	expiry.revoke()
	if expiry.Valid() {
		t.Error("valid after it was stopped")
	}
	expiry.extend(108)
	if got := expiry.Remaining(); got != 3 {
		t.Errorf("a new expiry has %d left", got)
	}
}

func TestTheClockGoesOn(t *testing.T) {
	var clock systemClock
	first := clock.Now()
	for clock.Now() == first {
	}
	if now := clock.Now(); now < first {
		t.Errorf("the clock went from %v to %v", first, now)
	}
}
