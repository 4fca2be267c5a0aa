// Package grave is what becomes of the address of a node that is dead: it refuses connections, which needs nothing, or
// it does one of these.
package grave

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Grave holds an address until it is closed.
type Grave struct {
	close func() error
}

// Close gives the address up.
func (g *Grave) Close() error { return g.close() }

// Closing accepts connections and ends them, as a load balancer does that has no server after it.
func Closing(ctx context.Context, addr string) (*Grave, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.Close() // nothing was said
		}
	})
	return &Grave{func() error {
		defer accepting.Wait()
		return ln.Close()
	}}, nil
}

// fill is how many connections a queue of length 0 takes, and more.
const fill = 3

// Silent drops what comes, as the network before a machine without power does. The kernel does so for a socket where
// nobody accepts and the queue of those who wait is full.
func Silent(ctx context.Context, addr string) (*Grave, error) {
	at, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	var waiting []net.Conn
	g := &Grave{func() error {
		for _, conn := range waiting {
			_ = conn.Close() // nobody has accepted it
		}
		return os.NewSyscallError("close", syscall.Close(fd))
	}}
	sa := &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}
	err = errors.Join(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1), syscall.Bind(fd, sa))
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening on %s: %w", addr, err), g.Close())
	}
	for range fill {
		dialer := net.Dialer{Timeout: 200 * time.Millisecond}
		if conn, err := dialer.DialContext(ctx, "tcp", addr); err == nil {
			waiting = append(waiting, conn)
		}
	}
	return g, nil
}
