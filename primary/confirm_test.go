package primary

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/protocol"
)

// A logbook is a log that may be read while it is written.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines returns the lines that have these words.
func (l *logbook) lines(words string) (lines []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, words) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (l *logbook) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: l, Level: hclog.Debug})
}

func TestTheFirstVisitOfANewSecondaryIsNoLoss(t *testing.T) {
	log := &logbook{}
	p := start(t, newSource(), Options{Logger: log.logger()})
	c := connect(t, p.addr)
	h := hello(protocol.Position{})
	h.StorageID, h.Epochs = "", nil
	if _, ok := c.ask(h).(*protocol.Welcome); !ok {
		t.Fatal("not welcome")
	}
	c.hangUp()
	p.eventually(t, "gone", func(s Status) bool { return len(s.Secondaries) == 0 })
	if lines := log.lines("lost the connection"); len(lines) != 0 {
		t.Errorf("logged %q", lines)
	}
}
