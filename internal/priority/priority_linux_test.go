package priority

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// niceOf is the priority of the thread on which it is called.
func niceOf(t *testing.T) int {
	t.Helper()
	knice, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	return 20 - knice
}

func TestOnlyTheGoroutineThatIsLoweredYieldsToOthers(t *testing.T) {
	before := niceOf(t)
	for _, l := range []Level{Background, Idle} {
		got := make(chan int)
		go func() {
			Lower(l)
			got <- niceOf(t)
		}()
		if n := <-got; n < l.nice {
			t.Errorf("nice %d, want %d", n, l.nice)
		}
		for range 100 { // whatever threads there are now
			go func() { got <- niceOf(t) }()
			if n := <-got; n != before {
				t.Fatalf("another goroutine has nice %d, want %d", n, before)
			}
		}
	}
}

// The test runs itself once more: there is no way back.
func TestAProcessThatIsLoweredYieldsWithAllItsThreads(t *testing.T) {
	if os.Getenv("ZRSD_TEST_LOWERED") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "ZRSD_TEST_LOWERED=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	LowerAll(Background)
	var all sync.WaitGroup
	begun := make(chan struct{})
	for range 50 { // each on a thread of its own
		all.Go(func() {
			runtime.LockOSThread()
			<-begun
			if n := niceOf(t); n != Background.nice {
				t.Errorf("nice %d, want %d", n, Background.nice)
			}
		})
	}
	close(begun)
	all.Wait()
}
