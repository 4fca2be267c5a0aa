//go:build !linux

package cluster

import "errors"

// FillDisk needs Linux.
func (n *Node) FillDisk(int64) error {
	return errors.New("a full disk cannot be simulated on this system: it needs prlimit, which Linux has")
}
