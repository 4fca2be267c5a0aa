//go:build !linux

package network

import (
	"errors"
	"net"
)

// processOf cannot tell on this system.
func processOf(net.Conn) (int, error) {
	return 0, errors.New("drills on storages of their own need Linux, which tells who has connected to a socket")
}
