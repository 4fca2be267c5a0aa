package primary

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestACorruptSourceIsNotTheEndOfTheProcess(t *testing.T) {
	src := newSource(plain(5)...)
	src.damage = tidAt(2)
	p := start(t, src, Options{})
	c := follow(t, p.addr, hello(protocol.Position{}))
	c.next()
	c.next()
	c.ack(tidAt(1))
	if bye := until[*protocol.Goodbye](c); !strings.Contains(bye.Reason, "Data.fs: damaged at offset") {
		t.Errorf("goodbye says %q", bye.Reason)
	}
	if _, err := c.decoder.Next(); err == nil {
		t.Error("the damaged transaction was delivered")
	}
	c.hangUp()
	if s := p.Status(); !strings.Contains(s.SourceError, "damaged") {
		t.Errorf("the status does not show it: %+v", s)
	}
	r, ok := connect(t, p.addr).ask(hello(protocol.Position{Tid: tidAt(4)})).(*protocol.Refusal)
	if !ok || r.Code != protocol.CodeInternal {
		t.Errorf("asking for what cannot be read: %#v", r)
	}
}

func TestAnOversizeFirstMessageIsNotRead(t *testing.T) {
	p := start(t, newSource(), Options{})
	conn := dial(t, p.addr)
	if _, err := conn.Write([]byte("helo, is anybody there?\r\n")); err != nil {
		t.Fatal(err)
	}
	if answer, _ := io.ReadAll(conn); len(answer) > 0 { // closed, or reset, for there was more to read
		t.Errorf("got the answer %q", answer)
	}
	p.eventually(t, "nobody connected", func(s Status) bool { return len(s.Secondaries) == 0 })
}

// Whoever gives the replication port to a command for the admin address gets words, also where it has more to say.
func TestARequestOfHTTPIsAnsweredAndNotRead(t *testing.T) {
	p := start(t, newSource(), Options{})
	conn := dial(t, p.addr)
	if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n%1000d", 1); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadRequest || err != nil || !strings.Contains(string(body), "--admin") {
		t.Errorf("got %s %q, %v", resp.Status, body, err)
	}
	if err := errors.Join(resp.Body.Close(), conn.Close()); err != nil {
		t.Error(err)
	}
	p.eventually(t, "nobody connected", func(s Status) bool { return len(s.Secondaries) == 0 })
}

func TestAnEndlessHandshakeIsCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		stop func(t *testing.T, addr string)
	}{
		{"before the preface", func(t *testing.T, addr string) {
			t.Helper()
			dial(t, addr)
		}},
		{"within the preface", func(t *testing.T, addr string) {
			t.Helper()
			if _, err := dial(t, addr).Write([]byte{0, 0}); err != nil {
				t.Fatal(err)
			}
		}},
		{"before the hello", func(t *testing.T, addr string) {
			t.Helper()
			connect(t, addr)
		}},
		{"before the replication stream", func(t *testing.T, addr string) {
			t.Helper()
			connect(t, addr).ask(hello(protocol.Position{}))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, newSource(), Options{HandshakeTimeout: 50 * time.Millisecond})
			tt.stop(t, p.addr)
			p.eventually(t, "the connection is given up", func(s Status) bool {
				return s.Totals.Connections == 1 && len(s.Secondaries) == 0
			})
		})
	}
}

func TestOneTooManyIsToldSo(t *testing.T) {
	src := newSource(plain(1)...)
	p := start(t, src, Options{MaxSecondaries: 1})
	first := follow(t, p.addr, hello(protocol.Position{}))
	first.next()
	second := connect(t, p.addr)
	r, ok := second.ask(hello(protocol.Position{})).(*protocol.Refusal)
	if !ok || r.Code != protocol.CodeTooMany || r.Final() {
		t.Fatalf("got %v", r)
	}
	second.hangUp()
	first.hangUp()
	p.eventually(t, "room again", func(s Status) bool { return only(s).State == StateDisconnected })
	follow(t, p.addr, hello(protocol.Position{})).next()
}

func TestASlowSecondarySlowsNobody(t *testing.T) {
	src := newSource()
	p := start(t, src, Options{stallAfter: 50 * time.Millisecond})
	slow, fast := hello(protocol.Position{}), hello(protocol.Position{})
	slow.Name, fast.Name = "slow", "fast"
	follow(t, p.addr, slow) // never reads
	c := follow(t, p.addr, fast)
	big := strings.Repeat("x", 1<<20)
	for i := range 20 { // far more than a window and the kernel's buffers hold
		src.commit(memTxn{tid: tidAt(i), status: zodb.StatusCommitted, data: big})
		if got := c.next(); got != tidAt(i) {
			t.Fatalf("got %v, want %v", got, tidAt(i))
		}
		c.ack(tidAt(i))
	}
	p.eventually(t, "one live, one stalled with everything to go", func(s Status) bool {
		states := make(map[string]SecondaryStatus)
		for _, one := range s.Secondaries {
			states[one.Name] = one
		}
		return states["fast"].State == StateLive && states["slow"].State == StateStalled &&
			states["slow"].Lag.Transactions == 20 && states["slow"].Lag.Exact
	})
}

func TestASilentSecondaryIsGivenUp(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{IdleTimeout: 50 * time.Millisecond})
	c := follow(t, p.addr, hello(protocol.Position{}))
	c.next()
	p.eventually(t, "gone, with the reason", func(s Status) bool {
		return only(s).State == StateDisconnected && strings.Contains(only(s).LastError, "nothing was heard")
	})
}

// A secondary connects again before the primary notices that the connection before has ended.
func TestASecondaryThatIsBackIsNotGone(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{})
	before := follow(t, p.addr, hello(protocol.Position{}))
	before.next()
	again := follow(t, p.addr, hello(protocol.Position{}))
	again.next()
	_ = before.session.Close() // it is over
	p.eventually(t, "the one that is there is all", func(s Status) bool {
		return len(s.Secondaries) == 1 && s.Secondaries[0].State != StateDisconnected
	})
}

func TestHeartbeatsSayHowFarThePrimaryIs(t *testing.T) {
	src := newSource(plain(3)...)
	p := start(t, src, Options{})
	c := follow(t, p.addr, hello(protocol.Position{}))
	beat := until[*protocol.Heartbeat](c)
	if beat.LastTid != tidAt(2) || beat.Size != src.Size() || beat.Clock.IsZero() {
		t.Errorf("got %+v", beat)
	}
}

func TestTroubleOfASecondaryIsShown(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{})
	c := follow(t, p.addr, hello(protocol.Position{}))
	if err := c.control.Send(&protocol.Ack{Error: "no space left on device"}); err != nil {
		t.Fatal(err)
	}
	p.eventually(t, "stalled with the reason", func(s Status) bool {
		return only(s).State == StateStalled && only(s).LastError == "no space left on device"
	})
}

func TestAnAcknowledgementOfWhatWasNeverSentEndsTheConnection(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{})
	c := follow(t, p.addr, hello(protocol.Position{}))
	c.ack(tidAt(7))
	if bye := until[*protocol.Goodbye](c); !strings.Contains(bye.Reason, "never sent") {
		t.Errorf("goodbye says %q", bye.Reason)
	}
}

func TestShutdownLetsSecondariesCatchUp(t *testing.T) {
	src := newSource(plain(200)...)
	p := start(t, src, Options{})
	c := follow(t, p.addr, hello(protocol.Position{}))
	c.next()
	down := make(chan error, 1)
	go func() { down <- p.Shutdown(context.WithoutCancel(t.Context())) }()
	for i := 1; i < 200; i++ {
		if got := c.next(); got != tidAt(i) {
			t.Fatalf("got %v, want %v", got, tidAt(i))
		}
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v before the last transaction was acknowledged", err)
	default:
	}
	c.ack(tidAt(199))
	until[*protocol.Goodbye](c)
	c.hangUp()
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr); err == nil {
		t.Error("still accepting")
	}
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	p := start(t, newSource(plain(3)...), Options{DrainTimeout: 50 * time.Millisecond})
	c := follow(t, p.addr, hello(protocol.Position{}))
	c.next()
	c.next() // and never acknowledges
	down := make(chan error, 1)
	go func() { down <- p.Shutdown(context.WithoutCancel(t.Context())) }()
	if bye := until[*protocol.Goodbye](c); !strings.Contains(bye.Reason, "shutting down") {
		t.Errorf("goodbye says %q", bye.Reason)
	}
	c.hangUp()
	if err := <-down; err == nil || !strings.Contains(err.Error(), "1 secondary still connected") {
		t.Errorf("got %v", err)
	}
}
