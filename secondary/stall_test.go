package secondary

import (
	"errors"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// The steps are a second apart.
func TestAStreamHasStalledWhenWhatIsMissingDoesNotCome(t *testing.T) {
	type steps []func(*meteredReader) error
	const more, all = 9, 7
	tell := func(tid uint64) func(*meteredReader) error {
		return func(w *meteredReader) error { return w.check(zodb.Tid(tid)) }
	}
	waits := func(more int) func(*meteredReader) error {
		return func(w *meteredReader) error { w.wait(more); return nil }
	}
	arrives := func(w *meteredReader) error { w.arrived(more); return nil }
	for name, c := range map[string]struct {
		steps   steps
		stalled bool
	}{
		"nothing missing":          {steps{tell(all), tell(all), tell(all), tell(all)}, false},
		"missing for three beats":  {steps{tell(more), tell(more), tell(more)}, true},
		"missing for two beats":    {steps{tell(more), tell(more)}, false},
		"idle, then a commit":      {steps{tell(all), tell(all), tell(all), tell(more), tell(more)}, false},
		"a byte in between":        {steps{tell(more), waits(-1), waits(1), tell(more), tell(more)}, false},
		"the disk is what is slow": {steps{waits(-1), tell(more), tell(more), tell(more)}, false},
		"on its way to the disk":   {steps{arrives, tell(more), tell(more), tell(more)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := newClock()
			w := &meteredReader{now: now.now, limit: 2 * time.Second, lastArrived: all, waiting: 1}
			var err error
			for _, step := range c.steps {
				err = step(w)
				now.passes(time.Second)
			}
			if stalled := errors.Is(err, errStalled); stalled != c.stalled {
				t.Errorf("stalled: %v (%v)", stalled, err)
			}
		})
	}
}
