package protocol

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many bytes the kernel may hold that it has not yet put on the wire.
const maxUnsent = 256 << 10

// limitUnsent keeps bulk from delaying acknowledgements, heartbeats and keep-alives: these queue behind whatever the
// kernel has accepted, which without a limit grows to megabytes and takes, on a slow link, longer than a keep-alive
// may take. The limit does not bound what is in flight, so it costs no throughput.
func limitUnsent(conn net.Conn) error {
	tcp := plainTCP(conn)
	if tcp == nil {
		return nil
	}
	return controlFd(tcp, func(fd int) error {
		err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
		return os.NewSyscallError("setsockopt", err)
	})
}

// LimitSilence makes a TCP connection fail whose other side has not confirmed for d what was sent to it, as when its
// machine is gone. The kernel's own limit is a quarter of an hour. A connection of another kind is left as it is.
func LimitSilence(conn net.Conn, d time.Duration) error {
	tcp := plainTCP(conn)
	if tcp == nil {
		return nil
	}
	return controlFd(tcp, func(fd int) error {
		err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		return os.NewSyscallError("setsockopt", err)
	})
}

// Unacknowledged returns how many bytes, and the end after them, the other side's kernel has not confirmed yet; known
// is false where nobody can say.
func Unacknowledged(conn net.Conn) (bytes int, known bool) {
	tcp := plainTCP(conn)
	if tcp == nil {
		return 0, false
	}
	err := controlFd(tcp, func(fd int) (err error) {
		bytes, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return os.NewSyscallError("ioctl", err)
	})
	return bytes, err == nil
}

// plainTCP returns the TCP connection under conn, nil when there is none.
func plainTCP(conn net.Conn) *net.TCPConn {
	if inner, ok := conn.(interface{ NetConn() net.Conn }); ok { // a TLS connection
		conn = inner.NetConn()
	}
	tcp, _ := conn.(*net.TCPConn)
	return tcp
}

func controlFd(conn syscall.Conn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
