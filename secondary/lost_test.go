package secondary

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/protocol"
)

// A warning means that somebody should do something: connections that end in normal life are none, and nobody to follow
// for a while is one, once.
func TestWhatIsLoggedOfEndsOfConnections(t *testing.T) {
	passes := &protocol.Refusal{Code: protocol.CodeOutranked, Text: "it has voted"}
	final := &protocol.Refusal{Code: protocol.CodeDiverged, Text: "histories differ"}
	log := &logged{}
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	s := inMemory(t).secondary("primary:1", func(o *Options) {
		o.now = func() time.Time { return now }
		o.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Info})
	})
	want := map[string]int{}
	for i, step := range []struct {
		wait     time.Duration
		err      error
		progress bool
		news     bool
		level    string // empty: nothing is logged
	}{
		{0, errCut, true, true, "[INFO]"},
		{time.Second, passes, false, true, "[INFO]"},
		{time.Second, passes, false, false, ""},
		{warnAfter, passes, false, false, "[WARN]"},
		{time.Hour, passes, false, false, ""},
		{time.Second, errors.New("another reason"), false, true, "[INFO]"},
		{time.Second, final, false, true, "[ERROR]"},
		{time.Hour, errCut, true, true, "[INFO]"}, // somebody was followed for an hour
		{warnAfter - 1, passes, false, false, ""},
		{1, passes, false, false, "[WARN]"},
	} {
		now = now.Add(step.wait)
		s.report("primary:1", step.err, step.progress, step.news, time.Second)
		if step.level != "" {
			want[step.level]++
		}
		for _, level := range []string{"[INFO]", "[WARN]", "[ERROR]"} {
			if n := log.count(level); n != want[level] {
				t.Errorf("step %d: %d lines of %s, want %d", i, n, level, want[level])
			}
		}
	}
}

// A node that was something else meanwhile, such as the primary, has not followed nobody for all that time.
func TestALossBeginsAnewAfterAnotherRole(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	l := loss{}
	for i, step := range []struct{ after, lasted, want time.Duration }{
		{0, time.Second, time.Second}, {warnAfter, time.Second, time.Second + warnAfter + time.Second},
		{time.Hour, time.Second, time.Second},
	} {
		now = now.Add(step.after)
		l.runs(now)
		now = now.Add(step.lasted)
		if got := now.Sub(l.since); got != step.want {
			t.Errorf("run %d: nobody was followed for %v, want %v", i, got, step.want)
		}
		l.ended = now
	}
}

// A node that is made primary while it follows ends Run in the middle of a connection. When it follows again soon, that
// connection counts, and not what was before it.
func TestAConnectionOfUseEndsALossWhateverEndsIt(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 3), inMemory(t)
	node := s.secondary(p.asPrimary(t))
	lost := node.opt.now().Add(-time.Hour)
	node.loss.since, node.loss.ended = lost, node.opt.now()
	r := node.run(t)
	r.has(t, p.st.LastTid())
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if !node.loss.since.After(lost) {
		t.Error("nobody was followed, as it seems, since before the connection")
	}
}
