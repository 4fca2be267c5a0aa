package zeo

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/zeo/wire"
)

// turnedAway connects and expects to be sent away without a word.
func (s *site) turnedAway(t *testing.T) {
	t.Helper()
	conn := s.connect(t)
	if n, err := conn.Read(make([]byte, 10)); n > 0 || err == nil {
		t.Errorf("got %d bytes, %v: let in", n, err)
	}
}

func (s *site) connect(t *testing.T) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// greeted connects and reads what the server announces.
func (s *site) greeted(t *testing.T) net.Conn {
	t.Helper()
	conn := s.connect(t)
	if _, err := io.ReadFull(conn, make([]byte, wire.SizeLen+len(wire.Z5))); err != nil {
		t.Fatalf("which is the limit: %v", err)
	}
	return conn
}

func TestOneClientTooManyIsTurnedAwayAndTheOthersStay(t *testing.T) {
	s := start(t, Options{MaxClients: 2}, StorageOptions{})
	first, _ := s.register(t)
	second, _ := s.register(t)
	s.turnedAway(t)
	first.call("ping")
	_ = second.conn.Close()
	for { // until it is known to have gone
		if n, _ := s.connect(t).Read(make([]byte, 1)); n > 0 {
			break
		}
	}
}

func TestAnAddressHasFewConnectionsThatAreNotRegistered(t *testing.T) {
	s := start(t, Options{MaxUnregistered: 1}, StorageOptions{})
	for range 3 { // whoever registers makes room
		p, _ := s.register(t)
		p.call("ping")
	}
	silent := s.greeted(t)
	p, _ := s.register(t)
	p.call("ping")
	if n, err := silent.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("the oldest did not make way: %d bytes, %v", n, err)
	}
}

func TestClientsBeyondTheLimitCannotRegister(t *testing.T) {
	s := start(t, Options{MaxClients: 1}, StorageOptions{})
	late := s.dial(t, wire.Z5)
	p, _ := s.register(t)
	late.send(0, "register", "1", false)
	late.cut()
	p.call("ping")
}

// Scanners, probes and half-open connections end in every way there is, and each end is somebody's ERROR.
func TestUnregisteredClientsMakeFewLines(t *testing.T) {
	var log syncBuilder
	s := start(t, Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})}, StorageOptions{})
	for i := range 50 {
		conn := s.greeted(t)
		if _, err := conn.Write(append([]byte{0, 0, 0, 5}, fmt.Sprintf("GET %d", i%10)...)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn) // until it ends, in whichever way
	}
	s.stop()
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}

func TestAClientThatNamesItselfForEverMakesABoundedLog(t *testing.T) {
	var log syncBuilder
	s := start(t, Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})}, StorageOptions{})
	p, _ := s.register(t)
	for range 2 * maxLines {
		p.call("set_client_label", "x")
	}
	s.stop()
	if n := strings.Count(log.String(), "named itself"); n != maxLines {
		t.Errorf("%d lines", n)
	}
}

// A syncBuilder takes a log from several goroutines.
type syncBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuilder) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuilder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestAnUnregisteredClientCannotSendMuch(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p := s.dial(t, wire.Z5)
	if _, err := p.conn.Write([]byte{0, 2, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.conn.Read(make([]byte, 1)); err == nil {
		t.Error("a message of 128 KiB is awaited from somebody who has not registered")
	}
}
