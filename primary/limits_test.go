package primary

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/protocol"
)

func TestOneAddressCannotTakeAllPlaces(t *testing.T) {
	src := newSource(plain(1)...)
	p := start(t, src, Options{MaxSecondaries: 9, MaxPerAddress: 2})
	follow(t, p.addr, hello(protocol.Position{})).next() // is accepted, and counts no more
	waiting := []net.Conn{dial(t, p.addr), dial(t, p.addr)}
	p.eventually(t, "two are in their handshake", func(s Status) bool { return len(s.Secondaries) == 3 })
	err := protocol.ClientPreface(t.Context(), dial(t, p.addr))
	var r *protocol.Refusal
	if !errors.As(err, &r) || r.Code != protocol.CodeTooMany || !strings.Contains(r.Text, "from this address") {
		t.Fatalf("got %v", err)
	}
	_ = waiting[0].Close()
	p.eventually(t, "room again", func(s Status) bool { return len(s.Secondaries) == 2 })
	follow(t, p.addr, hello(protocol.Position{})).next()
}

func TestASourceIsAnAddressOrANetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1":             "192.0.2.7",
		"192.0.2.7:2":             "192.0.2.7",
		"[::ffff:192.0.2.7]:3":    "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:": "2001:db8:1:2::/64",
		"[2001:db8:1:2::9]:4":     "2001:db8:1:2::/64",
	} {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := sourceOf(&net.TCPAddr{IP: net.ParseIP(host)}); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
	for _, addr := range []net.Addr{&net.UnixAddr{Name: "@"}, &net.TCPAddr{}} {
		if got := sourceOf(addr); got != localSource {
			t.Errorf("%#v: got %s", addr, got)
		}
	}
}

// A clock stands still until it is set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestTheSameLineIsNotRepeated(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	q := newQuiet(at.now)
	var log strings.Builder
	logger := hclog.New(&hclog.LoggerOptions{Output: &log})
	for range 3 {
		q.warn(logger, "a", "too many", "refused")
		q.warn(logger, "b", "too many", "refused")
		q.warn(logger, "a", "wrong secret", "refused")
	}
	if n := strings.Count(log.String(), "refused"); n != 3 || strings.Contains(log.String(), "not_logged") {
		t.Errorf("%d lines: %s", n, &log)
	}
	at.at = at.at.Add(quietFor)
	q.warn(logger, "a", "too many", "refused")
	if !strings.Contains(log.String(), "not_logged=4") {
		t.Errorf("it does not say how many it kept back: %s", &log)
	}
}

func TestNobodyCanFillTheLogOrTheMemory(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	q := newQuiet(at.now)
	lines := 0
	say := func(source, text string) {
		if _, ok := q.pass(source, text); ok {
			lines++
		}
	}
	for i := range 10 * maxTexts {
		say("a", fmt.Sprint("text ", i))
	}
	if lines != maxTexts {
		t.Errorf("one source had %d lines", lines)
	}
	lines = 0
	for i := range 10 * maxSources {
		say(fmt.Sprint("source ", i), "text")
	}
	if lines > maxSources || len(q.sources) > maxSources+1 {
		t.Errorf("%d lines, %d sources", lines, len(q.sources))
	}
	at.at = at.at.Add(quietFor)
	lines = 0
	say("a new one", "text")
	if lines != 1 || len(q.sources) > 2 {
		t.Errorf("later: %d lines, %d sources", lines, len(q.sources))
	}
}

func TestARefusalIsLoggedOnce(t *testing.T) {
	var log syncBuilder
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
