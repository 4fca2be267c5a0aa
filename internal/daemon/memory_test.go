package daemon

import (
	"os"
	"testing"
)

func TestMemoryOfThisProcess(t *testing.T) {
	for name, measure := range map[string]func(pid int) (int64, error){"now": Memory, "peak": peakMemory} {
		if n, err := measure(os.Getpid()); err != nil || n <= 0 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		if n, err := measure(0); err == nil {
			t.Errorf("%s: process 0 has %d bytes", name, n)
		}
	}
}
