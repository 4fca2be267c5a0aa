package warning

import (
	"time"

	"github.com/hashicorp/go-hclog"
)

// A Log has a line for each warning when it begins, and one when it is over. What is logged where it is found, in more
// words, is left out. The lines are bounded: a warning that comes and goes has no more than one pair in quietFor.
type Log struct {
	log    hclog.Logger
	active map[key]entry
	told   map[key]time.Time
}

type entry struct {
	w    Warning
	told bool
}

// quietFor is for how long a warning that came back is not logged again.
const quietFor = 10 * time.Minute

// NewLog returns a Log that writes to log.
func NewLog(log hclog.Logger) *Log {
	return &Log{log: log, active: map[key]entry{}, told: map[key]time.Time{}}
}

// Look logs what has changed since the last call. It is for one goroutine.
func (l *Log) Look(list []Warning, now time.Time) {
	for k, at := range l.told {
		if now.Sub(at) >= quietFor {
			delete(l.told, k)
		}
	}
	active := make(map[key]entry, len(list))
	for _, w := range list {
		k := key{code: w.Code, about: w.About}
		e, was := l.active[k]
		if !was {
			e.told = l.begin(k, w, now)
		}
		e.w = w
		active[k] = e
	}
	for k, e := range l.active {
		if _, still := active[k]; !still && e.told {
			l.log.Info("no longer: "+e.w.Text, "warning", string(k.code), "after",
				now.Sub(e.w.Since).Round(time.Second))
		}
	}
	l.active = active
}

// begin logs a warning, and reports whether it did.
func (l *Log) begin(k key, w Warning, now time.Time) bool {
	if _, lately := l.told[k]; lately || Of(w.Code).LoggedBy != "" {
		return false
	}
	l.told[k] = now
	line := l.log.Warn
	if w.Severity == Critical {
		line = l.log.Error
	}
	line(w.Text+": "+w.Cure, "warning", string(w.Code))
	return true
}
