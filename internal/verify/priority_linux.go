package verify

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Of ioprio_set(2).
const (
	ioprioWhoProcess = 1
	ioprioClassIdle  = 3 << 13
)

// lowest is a nice value: others get the processor first.
const lowest = 15

// withLowPriority runs f on a thread that yields disk and processor to all others, and ends with it. What the kernel
// refuses has no effect: then the rate alone limits.
func withLowPriority(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its priority
		tid := unix.Gettid()
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(tid), ioprioClassIdle)
		_ = unix.Setpriority(unix.PRIO_PROCESS, tid, lowest)
		f()
	}()
	<-done
}
