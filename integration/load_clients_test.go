package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/consistency"
)

// loadPatience ends the clients of a load that nobody ends.
const loadPatience = 20 * time.Minute

// A loadClient is a process that runs zeo_history.py, and its log.
type loadClient struct {
	*pyProcess
	name string
	log  string           // path
	work consistency.Kind // the kind of line that tells that it gets on
}

// connect makes the objects, and starts writers and readers of both versions of ZEO on the primary,
// and a reader on the secondary.
func (l *load) connect(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rounds(1))*loadPatience)
	t.Cleanup(cancel)
	dir := t.TempDir()
	start := func(environment, role, name string, work consistency.Kind, on *machine) *loadClient {
		c := &loadClient{name: name, log: filepath.Join(dir, name+".log"), work: work}
		c.pyProcess = launchPythonUntil(ctx, t, environment, "zeo_history.py", role, name, dir, on.zeo)
		c.answer(t, "begin")
		return c
	}
	l.setup = start("zodb", "setup", "setup", "", l.primary)
	l.secondary.reach(t, l.setup.close(t))
	for _, c := range []struct {
		environment, role, name string
		work                    consistency.Kind
		on                      *machine
	}{
		{"zodb", "writer", "writer-a", consistency.Commit, l.primary},
		{"zodb", "writer", "writer-b", consistency.Commit, l.primary},
		{"zeo5", "writer", "writer-of-zeo5", consistency.Commit, l.primary},
		{"zodb", "reader", "reader", consistency.Snapshot, l.primary},
		{"zeo5", "reader", "reader-of-zeo5", consistency.Snapshot, l.primary},
		{"zodb", "reader", "reader-of-secondary", consistency.Snapshot, l.secondary},
	} {
		l.clients = append(l.clients, start(c.environment, c.role, c.name, c.work, c.on))
	}
	l.progress(t)
}

// progress waits until every client has done something that it had not done before.
func (l *load) progress(t *testing.T) {
	t.Helper()
	before := map[string]int64{}
	for _, c := range l.clients {
		info, err := os.Stat(c.log)
		if err != nil {
			t.Fatal(err)
		}
		before[c.name] = info.Size()
	}
	for _, c := range l.clients {
		done := fmt.Appendf(nil, "\"kind\": %q}\n", c.work)
		l.await(t, c.name+" gets on", func() bool { return bytes.Contains(c.since(t, before[c.name]), done) })
	}
}

// variety waits until there was each kind of thing that is not sure to happen soon.
func (l *load) variety(t *testing.T) {
	t.Helper()
	for what, text := range map[string]string{
		"a conflict is resolved": `"resolved": ["`, "a key is added": `"key": `, "keys are counted": `"keys": `,
	} {
		l.await(t, what, func() bool {
			for _, c := range l.clients {
				if bytes.Contains(c.since(t, 0), []byte(text)) {
					return true
				}
			}
			return false
		})
	}
}

// since returns what is in the log from an offset on.
func (c *loadClient) since(t *testing.T, offset int64) []byte {
	t.Helper()
	f, err := os.Open(c.log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, offset, math.MaxInt64-offset))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (l *load) await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, context.Cause(ctx))
		}
	}
}
