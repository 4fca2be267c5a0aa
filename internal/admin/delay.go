package admin

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A Delay is how much later clients see what a secondary receives.
type Delay struct {
	Seconds   float64    `json:"seconds"`        // how old a transaction has to be
	Shown     *zodb.Tid  `json:"shown_tid"`      // the last one that clients see; nil: none
	ShownTime *time.Time `json:"shown_time"`     // the time in Shown
	Hidden    *float64   `json:"hidden_seconds"` // between Shown and the last one that was received; nil: not known
	Until     *zodb.Tid  `json:"until_tid"`      // nothing after this one is shown; nil: nothing holds it
	Error     *string    `json:"error"`          // why clients see nothing, or nothing more; nil: all is well
}

// delayText says what clients see.
func delayText(d *Delay) string {
	said := "nothing yet"
	if d.Shown != nil {
		said = fmt.Sprintf("%v, %s", *d.Shown, timeText(d.ShownTime))
	}
	said += fmt.Sprintf("; delay %v", time.Duration(d.Seconds*float64(time.Second)))
	if d.Hidden != nil && *d.Hidden > 0 {
		said += fmt.Sprintf(", %s s received and not shown", secondsText(d.Hidden))
	}
	if d.Until != nil {
		said += fmt.Sprintf("; HELD: nothing after %v (%s) before zrsd apply-until --resume", *d.Until, d.Until.Stamp())
	}
	if d.Error != nil {
		said += "; ERROR: " + clean(*d.Error)
	}
	return said
}

func (s samples) delay(d *Delay) {
	s.gauge(mDelay, d.Seconds)
	if d.ShownTime != nil {
		s.gauge(mShown, unix(*d.ShownTime))
	}
	s.gauge(mHeld, oneIf(d.Until != nil))
}
