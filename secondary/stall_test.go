package secondary

import (
	"errors"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// The steps are a second apart.
func TestAStreamHasStalledWhenWhatIsMissingDoesNotCome(t *testing.T) {
	const more, all = 9, 7
	beat := func(tid uint64) func(*wire) error { return func(w *wire) error { return w.check(zodb.Tid(tid)) } }
	waits := func(yes bool) func(*wire) error { return func(w *wire) error { w.wait(yes); return nil } }
	arrives := func(w *wire) error { w.arrived(more); return nil }
	for name, c := range map[string]struct {
		steps   []func(*wire) error
		stalled bool
	}{
		"nothing missing":          {[]func(*wire) error{beat(all), beat(all), beat(all), beat(all)}, false},
		"missing for three beats":  {[]func(*wire) error{beat(more), beat(more), beat(more)}, true},
		"missing for two beats":    {[]func(*wire) error{beat(more), beat(more)}, false},
		"idle, then a commit":      {[]func(*wire) error{beat(all), beat(all), beat(all), beat(more), beat(more)}, false},
		"a byte in between":        {[]func(*wire) error{beat(more), beat(more), waits(false), waits(true), beat(more)}, false},
		"the disk is what is slow": {[]func(*wire) error{waits(false), beat(more), beat(more), beat(more)}, false},
		"on its way to the disk":   {[]func(*wire) error{beat(more), arrives, beat(more), beat(more), beat(more)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := newClock()
			w := &wire{now: now.now, limit: 2 * time.Second, handed: all, waiting: true}
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
