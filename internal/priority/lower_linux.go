package priority

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

const ioprioWhoProcess = 1

// Lower is for a goroutine that begins, for as long as it runs: its thread ends with it.
func Lower(l Level) {
	runtime.LockOSThread() // and never unlocked: a thread does not get its priority back
	l.give(unix.Gettid())
}

// LowerAll is for a process that begins, for as long as it runs: threads get the priority of those that begin them.
func LowerAll(l Level) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return // without it nothing can be changed
	}
	for _, thread := range threads {
		if tid, err := strconv.Atoi(thread.Name()); err == nil {
			l.give(tid)
		}
	}
}

func (l Level) give(tid int) {
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(tid), uintptr(l.disk))
	_ = unix.Setpriority(unix.PRIO_PROCESS, tid, l.nice)
}
