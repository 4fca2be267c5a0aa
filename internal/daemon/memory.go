package daemon

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PeakMemory returns the most resident memory that the process has had, in bytes.
func (p *Process) PeakMemory() (int64, error) {
	return peakMemory(p.Pid())
}

// peakMemory returns the most resident memory that the process pid has had, in bytes.
func peakMemory(pid int) (int64, error) { return memory(pid, "VmHWM:") }

// Memory returns the resident memory of the process pid, in bytes.
func Memory(pid int) (int64, error) { return memory(pid, "VmRSS:") }

// memory reads a line of the process's status.
func memory(pid int, name string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("%s: no line %s", path, name)
}
