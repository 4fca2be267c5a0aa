package zeo

import (
	"io"
	"net"
	"testing"
	"time"

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
		t.Fatalf("not let in: %v", err)
	}
	return conn
}

func TestOneClientTooManyIsTurnedAwayAndTheOthersStay(t *testing.T) {
	s := start(t, Options{MaxClients: 2}, StorageOptions{})
	first, _ := s.register(t)
	second := s.greeted(t)
	s.turnedAway(t)
	first.call("ping")
	_ = second.Close()
	for { // until it is known to have gone
		if n, _ := s.connect(t).Read(make([]byte, 1)); n > 0 {
			break
		}
	}
}

func TestAnAddressHasFewConnectionsThatAreNotRegistered(t *testing.T) {
	s := start(t, Options{MaxStrangers: 1}, StorageOptions{})
	for range 3 { // whoever registers makes room
		p, _ := s.register(t)
		p.call("ping")
	}
	s.greeted(t)
	s.turnedAway(t)
}

func TestAStrangerCannotSendMuch(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p := s.dial(t, wire.Z5)
	if _, err := p.conn.Write([]byte{0, 2, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.conn.Read(make([]byte, 1)); err == nil {
		t.Error("a message of 128 KiB is awaited from somebody who has not registered")
	}
}
