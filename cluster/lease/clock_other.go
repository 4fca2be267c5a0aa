//go:build !linux

package coordinator

import "time"

var processBegan = time.Now()

// systemClock is the clock of package time, which may stand still while the machine is suspended: there a machine with
// a coordinator must not be suspended.
type systemClock struct{}

func (systemClock) Now() time.Duration { return time.Since(processBegan) }
