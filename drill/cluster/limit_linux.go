package cluster

import (
	"fmt"
	"os"

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
	err := unix.Prlimit(n.proc.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limits, nil)
	if err != nil {
		return fmt.Errorf("limiting the files of node %s: %w", n.Name, err)
	}
	return nil
}
