package daemon

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: Linux shows every program hundredths of a second.
const tick = 10 * time.Millisecond

// CPUTime returns the processor time that the process pid has used, in user and kernel mode, exact to 10 ms.
func CPUTime(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	// After the name, which may hold anything, follow the fields from the third on; 14 and 15 are the times.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: %d fields after the name", path, len(fields))
	}
	var used time.Duration
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		used += time.Duration(ticks) * tick
	}
	return used, nil
}

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
