package protocol

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

// A countedConn counts what is read from it.
type countedConn struct {
	net.Conn
	read atomic.Int64
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// intakeSessions are two sessions, of which the client has an Intake.
func intakeSessions(t *testing.T) (i *Intake, wire *countedConn, client, server *yamux.Session) {
	t.Helper()
	c, s := tcp(t)
	i, wire = NewIntake(), &countedConn{Conn: c}
	client, err := ClientSession(wire, SessionOptions{Window: maxWindow, Intake: i})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = ServerSession(s, SessionOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return i, wire, client, server
}

// oneMore is one more stream, from the server to the client.
func oneMore(t *testing.T, client, server *yamux.Session) (in, out net.Conn) {
	t.Helper()
	in, err := OpenStream(t.Context(), client, StreamHeader{Kind: StreamRanges})
	if err != nil {
		t.Fatal(err)
	}
	if out, _, err = AcceptStream(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	return in, out
}

// send writes so many bytes, the frames of which are of step bytes, and closes.
func send(out net.Conn, data []byte, step int) {
	for len(data) > 0 {
		n, err := out.Write(data[:min(step, len(data))])
		if err != nil {
			return
		}
		data = data[n:]
	}
	_ = out.Close()
}

// However slow the readers are, and whoever else sends on the connection, no more is in memory than a little for each.
func TestOfAWatchedStreamLittleIsInMemory(t *testing.T) {
	const streams, size, step = 3, 4 << 20, 100_000
	i, wire, client, server := intakeSessions(t)
	want := make([]byte, size)
	for k := range want {
		want[k] = byte(k * k >> 7)
	}
	var ins [streams]net.Conn
	var outs []net.Conn
	for k := range ins {
		in, out := oneMore(t, client, server)
		ins[k] = i.Watch(in)
		outs = append(outs, out)
	}
	talk, heard := oneMore(t, client, server) // not watched
	i.Begin(time.Hour)
	go send(heard, want[:1000], 10)
	for _, out := range outs {
		go send(out, want, step)
	}
	said := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(talk)
		said <- all
	}()
	var read, worst atomic.Int64
	var readers sync.WaitGroup
	for k, in := range ins {
		readers.Go(func() { // as slowly as it can
			got, buf := make([]byte, 0, size), make([]byte, 1<<10)
			for len(got) < size {
				n, err := in.Read(buf)
				if err != nil {
					t.Errorf("stream %d: %v", k, err)
					return
				}
				got = append(got, buf[:n]...)
				unread := wire.read.Load() - read.Add(int64(n))
				for before := worst.Load(); unread > before && !worst.CompareAndSwap(before, unread); {
					before = worst.Load()
				}
				runtime.Gosched()
			}
			if !bytes.Equal(got, want) {
				t.Errorf("stream %d is not what was sent", k)
			}
		})
	}
	readers.Wait()
	if most := int64(streams * (maxUnread + step + 32<<10)); worst.Load() > most {
		t.Errorf("%d bytes were taken off the connection that nobody had read, want %d at most", worst.Load(), most)
	}
	if all := <-said; !bytes.Equal(all, want[:1000]) {
		t.Errorf("of another stream came %d bytes", len(all))
	}
}

// A reader that does not read holds nothing up for ever: neither other streams, nor what has to come when all is over.
func TestAWatchedStreamThatNobodyReadsHoldsUpOthersForAWhile(t *testing.T) {
	for name, let := range map[string]func(*Intake){
		"its patience ends": func(i *Intake) { i.Begin(time.Millisecond) },
		"it is over":        func(i *Intake) { i.Begin(time.Hour); i.End() },
		"it has not begun":  func(*Intake) {},
	} {
		i, _, client, server := intakeSessions(t)
		in, out := oneMore(t, client, server)
		i.Watch(in)
		talk, heard := oneMore(t, client, server)
		let(i)
		go send(out, make([]byte, maxWindow/2), 128<<10)
		go send(heard, []byte("heartbeat"), 10)
		if got, err := io.ReadAll(talk); err != nil || string(got) != "heartbeat" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// Neither does it hold up the end of its session.
func TestASessionCanBeClosedWhileItWaitsForItsReaders(t *testing.T) {
	i, _, client, server := intakeSessions(t)
	in, out := oneMore(t, client, server)
	i.Watch(in)
	i.Begin(time.Hour)
	go send(out, make([]byte, maxWindow/2), 128<<10)
	for ready := true; ready; ready, _ = i.ready() {
		runtime.Gosched()
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

// A peer that says that more comes than it may send loses its session, as without an Intake.
func TestAnIntakeLetsNobodySendMoreThanTheWindow(t *testing.T) {
	c, s := tcp(t)
	i := NewIntake()
	session, err := ClientSession(c, SessionOptions{Intake: i})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	stream, err := session.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	i.Watch(stream)
	i.Begin(time.Hour)
	header := make([]byte, len(frame{}))
	header[7], header[8] = byte(stream.StreamID()), 0x7f // 2 GB of it
	if _, err := s.Write(header); err != nil {
		t.Fatal(err)
	}
	<-session.CloseChan()
}
