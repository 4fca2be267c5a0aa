package network

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// processOf returns the process at the other side of a Unix socket, as the kernel has noted it.
func processOf(conn net.Conn) (pid int, err error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a Unix socket")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("asking who has connected: %w", err)
	}
	return int(cred.Pid), nil
}
