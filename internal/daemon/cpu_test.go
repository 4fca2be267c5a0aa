package daemon

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// slack is how much less than the kernel has counted /proc may show: it cuts two times to whole ticks.
const slack = 2 * tick

// counted returns what the kernel says that this process has used.
func counted(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestProcessorTimeIsWhatTheKernelHasCounted(t *testing.T) {
	for begin := counted(t); ; { // asking is work
		before := counted(t)
		used, err := CPUTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after := counted(t); used < before-slack || used > after {
			t.Fatalf("%v, the kernel has counted %v before and %v after", used, before, after)
		}
		if before > begin+10*tick {
			return
		}
	}
}

func TestNoProcessorTimeOfNoProcess(t *testing.T) {
	if used, err := CPUTime(0); err == nil {
		t.Errorf("process 0 used %v", used)
	}
}
