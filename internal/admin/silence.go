package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

// Bounds of the silence of a node that is asked. What takes long may be silent for as long as it takes, so it is not
// silence that ends a request: after it the node is asked, on a connection of its own, whether it is alive, which any
// process that runs answers at once, whatever else it does.
const (
	connectWithin = 10 * time.Second // a connection, with TLS
	silentFor     = 10 * time.Second // after which it is asked whether it is alive
	aliveWithin   = 10 * time.Second // for the answer to that
)

// A SilentError says that a node does not answer at all.
type SilentError struct {
	For  time.Duration
	Sent bool // it took the connection and the request; what was asked may still be done
}

func (e *SilentError) Error() string {
	if !e.Sent {
		return fmt.Sprintf("no connection within %v: its machine does not answer, or the process there hangs or is "+
			"stopped", e.For)
	}
	return fmt.Sprintf("it takes connections, and has answered nothing for %v, not even whether it is alive: the "+
		"process hangs or is stopped, or its machine is gone. Look at it there; when it goes on, it may still do what "+
		"was asked", e.For)
}

// connect connects to a node within a bounded time.
func connect(ctx context.Context, dial Dialer) (net.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	conn, err := dial(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return nil, &SilentError{For: connectWithin}
	}
	return conn, err
}

// A heardConn notes when something came last.
type heardConn struct {
	net.Conn
	begun time.Time
	last  atomic.Int64 // after begun
}

func newHeardConn(conn net.Conn) *heardConn { return &heardConn{Conn: conn, begun: time.Now()} }

func (c *heardConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.last.Store(int64(time.Since(c.begun)))
	}
	return n, err
}

func (c *heardConn) heard() time.Time { return c.begun.Add(time.Duration(c.last.Load())) }

// watch calls giveUp when the node is not alive from which an answer is awaited. It returns then, or when ctx ends.
func (c *heardConn) watch(ctx context.Context, dial Dialer, giveUp func(error)) {
	known := c.begun // to be alive
	for {
		if heard := c.heard(); heard.After(known) {
			known = heard
		}
		timer := time.NewTimer(time.Until(known.Add(silentFor)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if heard := c.heard(); heard.After(known) {
			continue
		}
		asked := time.Now()
		if isAlive(ctx, dial) {
			known = asked
			continue
		}
		if heard := c.heard(); !heard.After(known) {
			giveUp(&SilentError{For: time.Since(known).Round(time.Second), Sent: true})
			return
		}
	}
}

// isAlive reports whether the process at an admin address does anything: any answer counts. What failed on this side
// counts, too: it says nothing about the node.
func isAlive(ctx context.Context, dial Dialer) bool {
	limited, cancel := context.WithTimeout(ctx, aliveWithin)
	defer cancel()
	conn, err := dial(limited)
	if err == nil {
		defer hangUp(limited, conn)()
		req, err := http.NewRequestWithContext(limited, http.MethodGet, "http://"+ownHost+alivePath, http.NoBody)
		if err != nil {
			return true
		}
		if resp, err := exchange(conn, req); err == nil {
			return resp.Body.Close() == nil
		}
	}
	gone := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EAGAIN) // of a socket whose queue is full
	return !gone && (limited.Err() == nil || ctx.Err() != nil)
}
