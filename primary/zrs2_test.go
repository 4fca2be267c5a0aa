package primary

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// oldStyle connects as zc.zrs does.
func oldStyle(t *testing.T, addr, version string, start zodb.Tid) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	c := &client{t: t, ctx: ctx, conn: dial(t, addr)}
	if err := zrs.WriteHello(c.conn, version, start); err != nil {
		t.Fatal(err)
	}
	c.decoder = zrs.NewDecoder(c.conn, start, protocol.Limits{})
	return c
}

// hungUpOn waits until the primary has closed the connection, and returns what it said before.
func hungUpOn(t *testing.T, conn net.Conn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("the connection is still open")
	}
	return string(said)
}

func TestAZcZrsSecondaryGetsHistoryAndThenEveryCommit(t *testing.T) {
	src := newSource(plain(3)...)
	p := start(t, src, Options{})
	c := oldStyle(t, p.addr, zrs.V21, tidAt(0))
	for n := 1; n < 3; n++ {
		if got := c.next(); got != tidAt(n) {
			t.Fatalf("got %v", got)
		}
	}
	src.commit(memTxn{tid: tidAt(7), status: ' ', data: "new"})
	if got := c.next(); got != tidAt(7) {
		t.Fatalf("got %v", got)
	}
	p.eventually(t, "known as sent", func(s Status) bool { return only(s).SentTid == tidAt(7) })
}

// What a secondary has cannot be known when it does not say so.
func TestAZcZrsSecondaryIsShownWithWhatIsKnownOfIt(t *testing.T) {
	p := start(t, newSource(plain(3)...), Options{})
	c := oldStyle(t, p.addr, zrs.V20, 0)
	for range 3 {
		c.next()
	}
	p.eventually(t, "live", func(s Status) bool { return only(s).State == StateLive })
	s := only(p.Status())
	if s.Protocol != "zrs2.0" || !s.Silent || s.Name != "zrs2.0@127.0.0.1" || s.SentTid != tidAt(2) ||
		s.AppliedTid != 0 || s.DurableTid != 0 || s.Lag != (Lag{}) {
		t.Errorf("%+v", s)
	}
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	p.eventually(t, "gone", func(s Status) bool { return only(s).State == StateDisconnected })
}

func TestWhoMayFollowInZrs2(t *testing.T) {
	for _, tt := range []struct {
		name    string
		src     *memSource
		version string
		start   zodb.Tid
		code    protocol.Code // 0: welcome
		says    string
	}{
		{name: "same history", start: tidAt(3)},
		{name: "empty"},
		{name: "empty, of an empty primary", src: newSource()},
		{name: "no blobs on either side", version: zrs.V20, start: tidAt(3)},
		{name: "blobs, and a secondary without", src: withBlobs(), version: zrs.V20, code: protocol.CodeBlobsRequired,
			says: "blob directory"},
		{name: "ahead", start: tidAt(9), code: protocol.CodeAhead, says: "5s earlier"},
		{name: "a transaction that the primary never had", start: tidAt(3) + 1, code: protocol.CodeDiverged,
			says: "never was in the primary"},
		{name: "a transaction that the primary packed away", src: packed(), start: tidAt(3)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.src == nil {
				tt.src = newSource(plain(5)...)
			}
			if tt.version == "" {
				tt.version = zrs.V21
			}
			log := &logbook{}
			p := start(t, tt.src, Options{Logger: log.logger()})
			c := oldStyle(t, p.addr, tt.version, tt.start)
			if tt.code == 0 {
				p.eventually(t, "streaming", func(s Status) bool { return only(s).State == StateLive })
				return
			}
			if said := hungUpOn(t, c.conn); said != "" {
				t.Errorf("the primary said %q, which zc.zrs would take for a transaction", said)
			}
			p.eventually(t, "forgotten", func(s Status) bool { return len(s.Secondaries) == 0 })
			r := p.Status().Refusals
			if len(r) != 1 || r[0].Code != tt.code || !strings.Contains(r[0].Text, tt.says) {
				t.Errorf("refusals %+v", r)
			}
			if lines := log.lines("WARN"); len(lines) != 1 {
				t.Errorf("logged %q", lines)
			}
		})
	}
}

func TestAKeepAliveIsNoReasonToHangUp(t *testing.T) {
	src := newSource(plain(1)...)
	p := start(t, src, Options{})
	c := oldStyle(t, p.addr, zrs.V21, 0)
	c.next()
	for range 3 {
		if err := protocol.WriteSized(c.conn, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.eventually(t, "heard", func(s Status) bool { return !only(s).LastHeard.IsZero() })
	src.commit(memTxn{tid: tidAt(5), status: ' ', data: "after"})
	if got := c.next(); got != tidAt(5) {
		t.Errorf("got %v", got)
	}
}

func TestWhoSaysMoreThanKeepAlivesIsCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		data string
	}{
		{"another message", "\x00\x00\x00\x01x"},
		{"one that is too large", "\x7f\xff\xff\xff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &logbook{}
			p := start(t, newSource(), Options{Logger: log.logger()})
			c := oldStyle(t, p.addr, zrs.V21, 0)
			p.eventually(t, "streaming", func(s Status) bool { return only(s).State == StateLive })
			if _, err := io.WriteString(c.conn, tt.data); err != nil {
				t.Fatal(err)
			}
			hungUpOn(t, c.conn)
			p.eventually(t, "gone", func(s Status) bool { return only(s).State == StateDisconnected })
			if lines := log.lines("lost the connection to a secondary"); len(lines) != 1 {
				t.Errorf("logged %q", lines)
			}
		})
	}
}

func TestAStartThatIsNoTidEndsTheHandshake(t *testing.T) {
	for _, second := range []string{
		"\x00\x00\x00\x07notatid", "\x00\x00\x00\x09more than.", "\x00\x00\x00\x00", "\xff\xff\xff\xff",
	} {
		log := &logbook{}
		p := start(t, newSource(), Options{Logger: log.logger()})
		conn := dial(t, p.addr)
		if _, err := io.WriteString(conn, "\x00\x00\x00\x06zrs2.1"+second); err != nil {
			t.Fatal(err)
		}
		if said := hungUpOn(t, conn); said != "" {
			t.Errorf("%q: the primary said %q", second, said)
		}
		p.eventually(t, "forgotten", func(s Status) bool { return len(s.Secondaries) == 0 })
		if lines := log.lines("ended before it was accepted"); len(lines) != 1 {
			t.Errorf("%q: logged %q", second, lines)
		}
	}
}

// Time is given to the handshake as a whole: bytes that trickle in do not prolong it.
func TestAHandshakeOfSlowBytesIsCut(t *testing.T) {
	src := newSource(plain(2)...)
	p := start(t, src, Options{HandshakeTimeout: 100 * time.Millisecond})
	other := oldStyle(t, p.addr, zrs.V21, 0)
	other.next()
	conn := dial(t, p.addr)
	trickled := make(chan struct{})
	go func() {
		defer close(trickled)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for _, b := range []byte("\x00\x00\x00\x06zrs2.1\x00\x00\x00\x08" + strings.Repeat("\x00", 1000)) {
			<-tick.C
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
		}
	}()
	p.eventually(t, "cut", func(s Status) bool { return s.Totals.Connections == 2 && len(s.Secondaries) == 1 })
	if got := other.next(); got != tidAt(1) {
		t.Errorf("the other secondary got %v", got)
	}
	_ = conn.Close()
	<-trickled
}

func TestSilenceAfterKeepAlivesIsTheEnd(t *testing.T) {
	p := start(t, newSource(), Options{IdleTimeout: 50 * time.Millisecond, Heartbeat: time.Millisecond})
	talks := oldStyle(t, p.addr, zrs.V21, 0)
	p.eventually(t, "streaming", func(s Status) bool { return only(s).State == StateLive })
	if err := protocol.WriteSized(talks.conn, nil); err != nil {
		t.Fatal(err)
	}
	hungUpOn(t, talks.conn)
}

// The other one is sent little, so that it takes everything in time however busy the machine is.
func TestASecondaryThatTakesNothingIsCutAndOthersGoOn(t *testing.T) {
	src := newSource(memTxn{tid: tidAt(0), status: ' ', data: strings.Repeat("x", 64<<20)},
		memTxn{tid: tidAt(1), status: ' ', data: "x"})
	p := start(t, src, Options{IdleTimeout: 200 * time.Millisecond, Heartbeat: 10 * time.Millisecond})
	other := oldStyle(t, p.addr, zrs.V21, tidAt(0))
	if got := other.next(); got != tidAt(1) {
		t.Fatalf("the other secondary got %v", got)
	}
	oldStyle(t, p.addr, zrs.V21, 0) // reads nothing
	p.eventually(t, "it is cut", func(s Status) bool { return s.Totals.Connections == 2 && len(s.Secondaries) == 1 })
	src.commit(memTxn{tid: tidAt(2), status: ' ', data: "x"})
	if got := other.next(); got != tidAt(2) {
		t.Errorf("the other secondary got %v", got)
	}
}

// A secondary that acknowledges nothing gets everything and the end, of a backlog that no kernel holds, too. One that
// does not hang up then is not waited for.
func TestShutdownLetsAZcZrsSecondaryReadEverythingAndThenEnds(t *testing.T) {
	log := &logbook{}
	var txns []memTxn
	const count = 64
	for n := range count {
		txns = append(txns, memTxn{tid: tidAt(n), status: ' ', data: strings.Repeat("x", 1<<20)})
	}
	p := start(t, newSource(txns...), Options{Logger: log.logger(), DrainTimeout: 10 * limit})
	c := oldStyle(t, p.addr, zrs.V21, 0)
	c.next()
	done := make(chan error, 1)
	go func() { done <- p.Shutdown(context.Background()) }()
	<-p.draining.Done()
	for n := 1; n < count; n++ {
		if got := c.next(); got != tidAt(n) {
			t.Fatalf("got %v", got)
		}
	}
	if _, err := c.decoder.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v", err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(limit):
		t.Fatal("it waits for a secondary that has everything")
	}
	if lines := log.lines("lost the connection"); len(lines) != 0 {
		t.Errorf("logged %q", lines)
	}
}

func TestACorruptSourceEndsTheZrs2StreamAfterWhatIsWhole(t *testing.T) {
	src := newSource(plain(5)...)
	src.damage = tidAt(2)
	p := start(t, src, Options{})
	c := oldStyle(t, p.addr, zrs.V21, 0)
	c.next()
	c.next()
	txn, err := c.decoder.Next()
	for err == nil {
		_, err = txn.NextRecord()
	}
	if errors.Is(err, io.EOF) {
		t.Errorf("the damaged transaction was delivered: %v", err)
	}
	_ = c.conn.Close()
	p.eventually(t, "the damage in the status", func(s Status) bool {
		return strings.Contains(s.SourceError, "damaged")
	})
}
