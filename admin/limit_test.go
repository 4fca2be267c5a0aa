package admin

import (
	"errors"
	"net"
	"testing"
)

func TestConnectionsWaitForRoom(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(ln, 2)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	for range 3 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	first, second := <-accepted, <-accepted
	if room := cap(l.(*limited).room) - len(l.(*limited).room); room != 0 {
		t.Errorf("room for %d", room)
	}
	if err := errors.Join(first.Close(), first.Close()); err == nil {
		t.Error("the second close of a connection is silent")
	}
	third := <-accepted
	defer third.Close()
	defer second.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("an Accept without room ended with %v", err)
	}
}
