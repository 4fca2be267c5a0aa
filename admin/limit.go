package admin

import (
	"net"
	"sync"
)

// maxConns is how many connections the server has at a time; more wait in the kernel's queue.
const maxConns = 64

// A limited listener accepts no more connections than there is room for.
type limited struct {
	net.Listener
	room  chan struct{}
	done  chan struct{}
	close func() error
}

func limit(ln net.Listener, n int) net.Listener {
	l := &limited{Listener: ln, room: make(chan struct{}, n), done: make(chan struct{})}
	l.close = sync.OnceValue(func() error {
		close(l.done)
		return ln.Close()
	})
	return l
}

// Accept waits for room and then for a connection, which gives its room back when it is closed.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &counted{conn, sync.OnceFunc(func() { <-l.room })}, nil
}

// Close also ends an Accept that waits for room.
func (l *limited) Close() error { return l.close() }

// A counted connection takes up room until it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close gives the room back.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
