//go:build !linux

package cluster

import "errors"

// stopped cannot tell on this system, where no drill runs.
func stopped(int) bool { return true }

// FillDisk needs Linux.
func (n *Node) FillDisk(int64) error {
	return errors.New("a full disk cannot be simulated on this system: it needs prlimit, which Linux has")
}
