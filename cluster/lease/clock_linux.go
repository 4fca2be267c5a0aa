package lease

import (
	"time"

	"golang.org/x/sys/unix"
)

// systemClock is CLOCK_BOOTTIME. The clock of package time is CLOCK_MONOTONIC on Linux, which stands still while the
// machine is suspended: a lease would go on after that for as long as the suspension took.
type systemClock struct{}

func (systemClock) Now() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic("CLOCK_BOOTTIME cannot be read: " + err.Error()) // it is there since Linux 2.6.39
	}
	return time.Duration(now.Nano())
}
