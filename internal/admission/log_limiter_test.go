package admission

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

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
		if got := Source(&net.TCPAddr{IP: net.ParseIP(host)}); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
	for _, addr := range []net.Addr{&net.UnixAddr{Name: "@"}, &net.TCPAddr{}} {
		if got := Source(addr); got != local {
			t.Errorf("%#v: got %s", addr, got)
		}
	}
}

// A clock stands still until it is set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestTheSameLineIsNotRepeated(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	q := NewLogLimiter(at.now)
	var log strings.Builder
	logger := hclog.New(&hclog.LoggerOptions{Output: &log})
	for range 3 {
		q.Warn(logger, "a", "too many", "refused")
		q.Warn(logger, "b", "too many", "refused")
		q.Warn(logger, "a", "wrong secret", "refused")
	}
	if n := strings.Count(log.String(), "refused"); n != 3 || strings.Contains(log.String(), "not_logged") {
		t.Errorf("%d lines: %s", n, &log)
	}
	at.at = at.at.Add(quietFor)
	q.Warn(logger, "a", "too many", "refused")
	if !strings.Contains(log.String(), "not_logged=4") {
		t.Errorf("it does not say how many it kept back: %s", &log)
	}
}

func TestNobodyCanFillTheLogOrTheMemory(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	q := NewLogLimiter(at.now)
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
	if lines > maxLines || len(q.sources) > maxSources+1 {
		t.Errorf("%d lines, %d sources", lines, len(q.sources))
	}
	at.at = at.at.Add(quietFor)
	lines = 0
	say("a new one", "text")
	if lines != 1 || len(q.sources) > 2 {
		t.Errorf("later: %d lines, %d sources", lines, len(q.sources))
	}
}

func TestPortsDoNotMakeALineAnother(t *testing.T) {
	q := NewLogLimiter((&clock{time.Unix(1000, 0)}).now)
	lines := 0
	for port := range 100 {
		if _, ok := q.pass(
			"a",
			Kind(fmt.Errorf("read tcp 192.0.2.1:8100->192.0.2.7:%d: connection reset by peer", port)),
		); ok {
			lines++
		}
	}
	if lines != 1 {
		t.Errorf("%d lines about one thing", lines)
	}
}

func TestManySourcesTogetherHaveFewLines(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	q := NewLogLimiter(at.now)
	lines := 0
	for i := range 10 * maxLines {
		if _, ok := q.pass(fmt.Sprint("source ", i), "text"); ok {
			lines++
		}
	}
	if lines != maxLines {
		t.Errorf("%d lines", lines)
	}
	at.at = at.at.Add(quietFor)
	if kept, ok := q.pass("source 0", "text"); !ok || kept != 9*maxLines {
		t.Errorf("the first line of the next interval tells of %d that were not logged, want %d", kept, 9*maxLines)
	}
}
