package primary

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// dialFrom connects from one of the addresses of the loopback network.
func dialFrom(t *testing.T, addr, from string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// closed waits until the other side has closed a connection without a word.
func closed(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatalf("got %d bytes, %v", n, err)
	}
}

func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	src := newSource(plain(1)...)
	p := start(t, src, Options{MaxPerAddress: 2})
	var silent []net.Conn
	for _, from := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.1"} {
		for range 2 {
			silent = append(silent, dialFrom(t, p.addr, from))
		}
	}
	follow(t, p.addr, hello(protocol.Position{})).next() // from 127.0.0.1, where two are silent
	closed(t, silent[4])                                 // the oldest of that address made way
	closed(t, silent[5])
	closed(t, silent[6]) // for the secondary
	p.eventually(t, "the others are still there", func(s Status) bool { return len(s.Secondaries) == 4+1+1 })
}

func TestManyAddressesKeepNobodyOut(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{})
	for i := range 2 * maxUnproven {
		dialFrom(t, p.addr, "127.0.1."+string(rune('1'+i%9))+string(rune('0'+i/9)))
	}
	follow(t, p.addr, hello(protocol.Position{})).next()
	p.eventually(t, "strangers have no more than their places", func(s Status) bool {
		return len(s.Secondaries) <= maxUnproven+1
	})
}

func TestSecondariesKeepTheirSlots(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{MaxSecondaries: 2, MaxPerAddress: 1})
	first := follow(t, p.addr, hello(protocol.Position{}))
	second := follow(t, p.addr, hello(protocol.Position{}))
	for range 5 {
		dial(t, p.addr)
	}
	third := connect(t, p.addr)
	if r, ok := third.ask(hello(protocol.Position{})).(*protocol.Refusal); !ok || r.Code != protocol.CodeTooMany {
		t.Errorf("a third secondary where there is room for two: %+v", r)
	}
	third.hangUp()
	first.next()
	second.next()
	second.hangUp()
	p.eventually(t, "room again", func(s Status) bool {
		n := 0
		for _, one := range s.Secondaries {
			if one.State != StateDisconnected && one.State != StateHandshake {
				n++
			}
		}
		return n == 1
	})
	follow(t, p.addr, hello(protocol.Position{})).next()
}

func TestRequestsAreAnsweredWhereAllSlotsAreTaken(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{MaxSecondaries: 1, MaxPerAddress: 1, Member: voter{}})
	follow(t, p.addr, hello(protocol.Position{})).next()
	dial(t, p.addr)
	if answer, ok := connect(t, p.addr).ask(asksStatus()).(*protocol.NodeStatus); !ok {
		t.Errorf("a status request was answered with %#v", answer)
	}
	answer := connect(t, p.addr).ask(&protocol.VoteRequest{Epoch: 2, StatusRequest: *asksStatus()})
	if vote, ok := answer.(*protocol.Vote); !ok || vote.Epoch != 2 {
		t.Errorf("a vote request was answered with %#v", answer)
	}
}

func asksStatus() *protocol.StatusRequest {
	return &protocol.StatusRequest{Version: protocol.MessageVersion, StorageID: storageID, Name: "b"}
}

// A node of another storage may ask for the status, and gets no vote.
func TestAVoteIsForANodeOfTheSameStorage(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{Member: voter{}})
	other := asksStatus()
	other.StorageID = "another"
	if answer, ok := connect(t, p.addr).ask(other).(*protocol.NodeStatus); !ok {
		t.Errorf("a status request was answered with %#v", answer)
	}
	answer := connect(t, p.addr).ask(&protocol.VoteRequest{Epoch: 2, StatusRequest: *other})
	if r, ok := answer.(*protocol.Refusal); !ok || r.Code != protocol.CodeWrongStorage {
		t.Errorf("a vote request was answered with %#v", answer)
	}
}

// Nodes ask each other how they stand, under the names that they have as secondaries. Who picks a secondary by its name
// must not find a question.
func TestWhoOnlyAsksIsNoSecondary(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{Member: voter{}})
	if answer, ok := connect(t, p.addr).ask(asksStatus()).(*protocol.NodeStatus); !ok {
		t.Fatalf("a status request was answered with %#v", answer)
	}
	if s := p.Status(); len(s.Secondaries) != 0 || s.Totals.Connections != 1 {
		t.Errorf("of %d connections these are secondaries: %+v", s.Totals.Connections, s.Secondaries)
	}
}

func TestWhoHasNotProvedTheSecretCannotAnnounceALongMessage(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{Secret: protocol.Secret("s")})
	c := connect(t, p.addr)
	if err := c.control.Send(&protocol.Authenticate{}); err != nil {
		t.Fatal(err)
	}
	until[*protocol.Challenge](c)
	_ = c.control.Send(&protocol.Goodbye{Reason: strings.Repeat("x", unauthenticatedLine)}) // the end may come before
	if msg, err := c.control.Receive(c.ctx); err == nil {
		t.Errorf("it was taken, and answered with %#v", msg)
	}
}

// Probes of load balancers end with a reset, whose text has the port in it.
func TestProbesThatResetMakeOneLine(t *testing.T) {
	var log logbook
	p := start(t, newSource(plain(1)...), Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	const probes = 20
	for n := range probes {
		conn := dial(t, p.addr)
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		p.eventually(t, "it is gone", func(s Status) bool { // or too many at a time would be a line of its own
			return len(s.Secondaries) == 0 && s.Totals.Connections == int64(n+1)
		})
	}
	if n := strings.Count(log.String(), "ended before it was accepted"); n != 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

func TestAConnectionThatSendsTooMuchEnds(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{Secret: protocol.Secret("s")})
	conn := dial(t, p.addr)
	if err := protocol.ClientPreface(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	frame := []byte{0, 1, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0} // of a stream that there is not
	for range 2 * unauthenticatedBytes / len(frame) {
		if _, err := conn.Write(frame); err != nil {
			break
		}
	}
	_, _ = io.Copy(io.Discard, conn) // until it ends, in whichever way
	p.eventually(t, "it is gone", func(s Status) bool { return len(s.Secondaries) == 0 })
}

func TestARefusalIsLoggedOnce(t *testing.T) {
	var log logbook
	p := start(t, newSource(plain(1)...), Options{
		Secret: protocol.Secret("s"), Logger: hclog.New(&hclog.LoggerOptions{Output: &log}),
	})
	for range 3 {
		c := connect(t, p.addr)
		c.ask(hello(protocol.Position{}))
		c.hangUp()
	}
	p.eventually(t, "all are gone", func(s Status) bool { return len(s.Secondaries) == 0 && s.Totals.Refused == 3 })
	if n := strings.Count(log.String(), "WARN"); n != 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

// A voter answers every request.
type voter struct{}

func (voter) Info() NodeInfo             { return NodeInfo{Node: "node", IsPrimary: true} }
func (voter) Outranked(uint64)           {}
func (voter) Surpassed(zodb.Tid)         {}
func (voter) HandedOver(*protocol.Hello) {}
func (voter) Counts(Counting) error      { return nil }
func (voter) Status(*protocol.StatusRequest) (*protocol.NodeStatus, *protocol.Refusal) {
	return &protocol.NodeStatus{StorageID: storageID}, nil
}

func (voter) Vote(_ context.Context, req *protocol.VoteRequest) (*protocol.Vote, *protocol.Refusal) {
	return &protocol.Vote{Epoch: req.Epoch, NodeStatus: protocol.NodeStatus{StorageID: storageID}}, nil
}
