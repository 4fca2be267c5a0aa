package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// FillDisk lets no file of the node grow beyond what its Data.fs has now and room bytes more: writing then fails, as on
// a full disk, but with EFBIG. Room below 0 takes the limit away.
func (n *Node) FillDisk(room int64) error {
	limit := uint64(unix.RLIM_INFINITY)
	if room >= 0 {
		info, err := os.Stat(n.Data())
		if err != nil {
			return err
		}
		limit = uint64(info.Size() + room)
	}
	// The hard limit stays, so that the soft one can be taken away again.
	limits := unix.Rlimit{Cur: limit, Max: unix.RLIM_INFINITY}
	err := unix.Prlimit(n.proc.Pid(), unix.RLIMIT_FSIZE, &limits, nil)
	if err != nil {
		return fmt.Errorf("limiting the files of node %s: %w", n.Name, err)
	}
	return nil
}

// stopped reports whether every thread of a process is stopped, or has ended.
func stopped(pid int) bool {
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	if err != nil {
		return false
	}
	for _, stat := range threads {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		// The state is after the name, which is in parentheses and may have some.
		if i := bytes.LastIndexByte(text, ')'); i < 0 || len(text) < i+3 || text[i+2] != 'T' {
			return false
		}
	}
	return true
}
