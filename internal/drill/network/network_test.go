//go:build linux

package network

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends every wait; a healthy run never comes near it.
const patience = 5 * time.Minute

// A world is a network with an echo, b, and this process as a.
type world struct {
	*Network
	gate string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "net") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	target := filepath.Join(dir, "echo")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", target)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go echo(l, served)
	w := &world{Network: New(dir)}
	w.Name(os.Getpid(), "a")
	if w.gate, err = w.Gate(t.Context(), "b", "echo", target); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		<-served
	})
	return w
}

// echo sends back what comes, each connection until it ends.
func echo(l net.Listener, served chan<- struct{}) {
	defer close(served)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn) // until either side ends
		}()
	}
}

func (w *world) dial(t *testing.T) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", w.gate)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != text {
		t.Fatalf("received %q, %v, want %q", b, err, text)
	}
}

func ended(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v: the connection goes on", n, err)
	}
}

func TestAnOpenLinkPassesEverything(t *testing.T) {
	w := newWorld(t)
	conn := w.dial(t)
	send(t, conn, "there")
	receive(t, conn, "there")
	w.Set("b", "a", Open, time.Millisecond)
	send(t, conn, "late")
	receive(t, conn, "late")
}

func TestACutEndsConnectionsAndRefusesNewOnes(t *testing.T) {
	w := newWorld(t)
	conn := w.dial(t)
	send(t, conn, "there")
	receive(t, conn, "there")
	w.Set("a", "b", Cut, 0)
	ended(t, conn)
	ended(t, w.dial(t))
	w.Set("a", "b", Open, 0)
	again := w.dial(t)
	send(t, again, "there")
	receive(t, again, "there")
}

func TestASilentLinkKeepsWhatIsSentUntilItIsOpen(t *testing.T) {
	w := newWorld(t)
	before := w.dial(t)
	send(t, before, "1")
	receive(t, before, "1")
	w.Set("a", "b", Silent, 0)
	during := w.dial(t)
	send(t, before, "2")
	send(t, during, "3")
	if err := before.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := before.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("something came over a silent link: %v", err)
	}
	if err := before.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	w.Set("a", "b", Open, 0)
	receive(t, before, "2")
	receive(t, during, "3")
}

func TestACutEndsWhatASilentLinkHolds(t *testing.T) {
	w := newWorld(t)
	w.Set("a", "b", Silent, 0)
	conn := w.dial(t)
	send(t, conn, "lost")
	w.Set("a", "b", Cut, 0)
	ended(t, conn)
}

func TestProcessesThatAreNotOfTheClusterAreRefused(t *testing.T) {
	w := newWorld(t)
	w.mu.Lock()
	clear(w.names)
	w.mu.Unlock()
	ended(t, w.dial(t))
}
