package secondary

import (
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// warnAfter is for how long nobody was followed when that is worth a warning. Connections end in normal life: at
// starts, stops and changes of the primary.
const warnAfter = 15 * time.Second

// A loss is since when a secondary has followed nobody, as of the end of the last connection. It is for Run's goroutine
// only.
type loss struct {
	since  time.Time // zero: it has not begun to look for a primary
	ended  time.Time // when Run did last
	warned bool
}

// runs is for when Run begins. A node that was something else meanwhile, such as the primary, begins anew.
func (l *loss) runs(now time.Time) {
	if now.Sub(l.ended) > warnAfter {
		l.since, l.warned = now, false
	}
}

// begins is for when a connection ends that was of use, or for the first failure.
func (l *loss) begins(now time.Time, progress bool) {
	if progress || l.since.IsZero() {
		l.since, l.warned = now, false
	}
}

// report logs the end of a connection: as information where it is news, as a warning once nobody was followed for a
// while, and as an error where an operator has to act.
func (s *Secondary) report(addr string, err error, progress, news bool, wait time.Duration) {
	now := s.opt.now()
	s.loss.begins(now, progress)
	level, text := hclog.Debug, "not following the primary"
	var code warning.Code
	saved, final := stateAfter(err)
	switch {
	case expected(err):
	case news && (final || saved == StateFailed):
		level, code = hclog.Error, warning.UpstreamRefused
		if saved == StateFailed {
			code = warning.UpstreamFailed
		}
	case now.Sub(s.loss.since) >= warnAfter && !s.loss.warned:
		level, text, code = hclog.Warn, "no primary is followed", warning.UpstreamLost
		s.loss.warned = true
	case news:
		level = hclog.Info
	}
	args := []any{"primary", addr, "last", s.st.LastTid(), "error", err, "next_try", wait.Round(time.Millisecond)}
	if level == hclog.Warn {
		args = append(args, "for", now.Sub(s.loss.since).Round(time.Second))
	}
	var refusal *protocol.Refusal
	if errors.As(err, &refusal) {
		args = append(args, "code", int(refusal.Code), "tid", refusal.Tid)
	}
	if code != "" {
		args = append(args, "warning", code)
	}
	s.log.Log(level, text, args...)
}

// followed logs that a node is followed now.
func (s *Secondary) followed(l *link) {
	args := []any{"last", l.start, "primary_last", l.goal}
	if s.loss.warned {
		args = append(args, "after", s.opt.now().Sub(s.loss.since).Round(time.Second))
	}
	l.log.Info("following the primary", args...)
}

// caughtUp logs once that a connection has brought all that the primary had when it began.
func (l *link) caughtUp(durable zodb.Tid) {
	if l.behind && durable >= l.goal {
		l.behind = false
		l.log.Info("caught up with the primary", "last", durable)
	}
}
