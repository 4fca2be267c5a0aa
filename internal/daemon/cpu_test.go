package daemon

import (
	"os"
	"testing"
	"time"
)

func TestProcessorTimeGrowsWithWork(t *testing.T) {
	measure := func() time.Duration {
		used, err := CPUTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return used
	}
	for begin := measure(); measure() == begin; { // asking is work
	}
}

func TestNoProcessorTimeOfNoProcess(t *testing.T) {
	if used, err := CPUTime(0); err == nil {
		t.Errorf("process 0 used %v", used)
	}
}
