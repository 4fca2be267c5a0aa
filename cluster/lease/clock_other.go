//go:build !linux

package referee

import "time"

var processBegan = time.Now()

// systemClock is the clock of package time, which may stand still while the machine is suspended: there a machine with
// a referee must not be suspended.
type systemClock struct{}

func (systemClock) Now() time.Duration { return time.Since(processBegan) }
