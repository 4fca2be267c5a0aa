package protocol

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

// tcp returns both ends of a connection over loopback, closed when the test ends.
func tcp(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if client, err = new(net.Dialer).DialContext(context.Background(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}

func sessions(t *testing.T, opt SessionOptions) (client, server *yamux.Session) {
	t.Helper()
	c, s := tcp(t)
	client, err := ClientSession(c, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = ServerSession(s, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}

func TestAStreamArrivesWithItsHeader(t *testing.T) {
	client, server := sessions(t, SessionOptions{})
	want := StreamHeader{Kind: StreamReplication, Start: 0x0123456789abcdef}
	out, err := OpenStream(t.Context(), client, want)
	if err != nil {
		t.Fatal(err)
	}
	in, got, err := AcceptStream(t.Context(), server)
	if err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := in.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(out); err != nil || string(data) != "data" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestAStreamWithABadHeaderIsRefused(t *testing.T) {
	for name, header := range map[string]string{
		"no msgpack":    "\xc1",
		"start of text": "\x92\xabreplication\x81\xa5start\xa40123",
	} {
		client, server := sessions(t, SessionOptions{})
		raw, err := client.Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteSized(raw, []byte(header)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := AcceptStream(t.Context(), server); !errors.Is(err, errCorruptMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWaitingForAStreamEndsWithItsContext(t *testing.T) {
	_, server := sessions(t, SessionOptions{})
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	if _, _, err := AcceptStream(ctx, server); !errors.Is(err, because) {
		t.Errorf("got %v", err)
	}
}

func TestClosingAStreamWakesItsReader(t *testing.T) {
	client, server := sessions(t, SessionOptions{})
	conn, err := OpenStream(t.Context(), client, StreamHeader{Kind: StreamControl})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := AcceptStream(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	woken := make(chan error)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		woken <- err
	}()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-woken; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A peer that takes nothing: the write fails in time, and with it the session, for half a frame may have left.
func TestAWriteThatTimesOutClosesItsSession(t *testing.T) {
	client, server := sessions(t, SessionOptions{})
	if _, err := OpenStream(t.Context(), client, StreamHeader{Kind: StreamControl}); err != nil {
		t.Fatal(err)
	}
	conn, _, err := AcceptStream(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(make([]byte, 2*defaultWindow)); !isTimeout(err) {
		t.Fatalf("got %v", err)
	}
	if !server.IsClosed() {
		t.Error("the session goes on")
	}
}

func TestADeadPeerIsNoticedByKeepAlive(t *testing.T) {
	_, s := tcp(t) // the other end accepts bytes and never answers
	server, err := ServerSession(s, SessionOptions{KeepAlive: time.Millisecond, WriteTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	<-server.CloseChan() // or the test times out
}

func TestTheWindowFitsTheRoundTrip(t *testing.T) {
	for roundTrip, want := range map[time.Duration]uint32{
		0:                     4 << 20,
		50 * time.Microsecond: 1 << 20,
		10 * time.Millisecond: 3355443, // 2 * 10 ms * 160 MiB/s
		50 * time.Millisecond: 16 << 20,
		time.Second:           16 << 20,
	} {
		if got := WindowFor(roundTrip); got != want {
			t.Errorf("%v: got %d, want %d", roundTrip, got, want)
		}
	}
}
