package secondary

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// A wound is what happens to the first connections of a secondary: cut, or a flipped bit, after so many bytes.
type wound struct {
	after   int64 // bytes
	flip    byte  // 0: cut
	written bool  // of what the secondary writes, not reads
	times   int   // connections
}

// wounded makes a secondary connect through wounded connections first, and through healthy ones then.
func wounded(w wound) func(*Options) {
	return func(opt *Options) {
		var made atomic.Int64
		opt.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := dial(ctx, addr)
			if err != nil || made.Add(1) > int64(w.times) {
				return conn, err
			}
			return &woundedConn{Conn: conn, w: w}, nil
		}
	}
}

var errWound = errors.New("the test cut the connection")

type woundedConn struct {
	net.Conn
	w    wound
	mu   sync.Mutex
	seen int64
}

// hurt takes bytes that pass in the wounded direction, and returns how many of them get through.
func (c *woundedConn) hurt(b []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.w.after - c.seen
	c.seen += int64(len(b))
	if at < 0 && c.w.flip == 0 {
		return 0
	}
	if at < 0 || at >= int64(len(b)) {
		return len(b)
	}
	if c.w.flip == 0 {
		return int(at)
	}
	b[at] ^= c.w.flip
	return len(b)
}

func (c *woundedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.w.written {
		return n, err
	}
	if through := c.hurt(b[:n]); through < n {
		_ = c.Close()
		return through, errWound
	}
	return n, err
}

func (c *woundedConn) Write(b []byte) (int, error) {
	if !c.w.written {
		return c.Conn.Write(b)
	}
	b = append([]byte(nil), b...)
	through := c.hurt(b)
	n, err := c.Conn.Write(b[:through])
	if through < len(b) {
		_ = c.Close()
		err = errWound
	}
	return n, err
}
