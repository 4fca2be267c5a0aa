package nagios

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/zodb"
)

// A Level is how bad it is, and the exit code of a Nagios plugin.
type Level int

// The levels that there are.
const (
	levelOK       Level = 0
	levelWarning  Level = 1
	levelCritical Level = 2
)

// Options of Report. A lag above a limit is a warning or critical; the limit 0 is none.
type Options struct {
	WarningLag int // seconds
	ErrorLag   int // seconds
	Metrics    bool
	Now        time.Time // zero: whether tids are in the future is not looked at
}

// maxFuture is how far a clock may be behind those of the servers.
const maxFuture = time.Minute

// Report returns what a plugin prints about the two servers, and how bad that is. A storage that is ahead on the
// secondary, or missing on either side, is critical.
func Report(primary, secondary Storages, opt Options) (string, Level) {
	if len(primary)+len(secondary) == 0 {
		return "No storages\n", levelWarning
	}
	r := report{opt: opt}
	for _, name := range slices.Sorted(maps.Keys(primary)) {
		r.future(name, primary[name])
		theirs, both := secondary[name]
		if !both {
			r.say(levelCritical, "Storage %s in primary, but not secondary", pythonString(name))
			continue
		}
		r.compare(name, primary[name].TimeStamp().Unix()-theirs.TimeStamp().Unix())
	}
	for _, name := range slices.Sorted(maps.Keys(secondary)) {
		if _, both := primary[name]; !both {
			r.say(levelCritical, "Storage %s in secondary, but not primary", pythonString(name))
		}
	}
	return r.text(), r.level
}

type report struct {
	opt     Options
	level   Level
	lines   []string
	metrics []string
}

func (r *report) say(level Level, format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
	r.level = max(r.level, level)
}

// future reports a transaction that is later than the clock.
func (r *report) future(name string, tid zodb.Tid) {
	if ahead := tid.Time().Sub(r.opt.Now); !r.opt.Now.IsZero() && ahead > maxFuture {
		r.say(
			levelWarning,
			"Storage %s is %.0f seconds in the future: a clock was ahead, or this one is behind",
			pythonString(name),
			ahead.Seconds(),
		)
	}
}

// compare reports a storage that both have, the secondary's so many seconds behind.
func (r *report) compare(name string, lag float64) {
	shown, label := "", ""
	if name != unnamed {
		shown, label = " ("+pythonString(name)+")", metricLabel(name)
	}
	if r.opt.Metrics {
		r.metrics = append(r.metrics, fmt.Sprintf("'lag%s'=%.4fseconds", label, lag))
	}
	behind := fmt.Sprintf("Secondary%s behind primary by %.4f seconds", shown, lag)
	switch {
	case lag < 0:
		r.say(levelCritical, "Primary%s behind secondary by %s seconds", shown, pythonFloat(lag))
	case lag == 0:
		r.say(levelOK, "Secondary%s up to date.", shown)
	case r.opt.ErrorLag != 0 && lag > float64(r.opt.ErrorLag):
		r.say(levelCritical, "%s > %d", behind, r.opt.ErrorLag)
	case r.opt.WarningLag != 0 && lag > float64(r.opt.WarningLag):
		r.say(levelWarning, "%s > %d", behind, r.opt.WarningLag)
	default:
		r.say(levelOK, "%s", behind)
	}
}

// metricLabel is a storage's name without what ends a label, or begins the metrics.
func metricLabel(name string) string {
	return strings.NewReplacer("'", "_", "|", "_", "=", "_").Replace(printable.Line(name))
}

// text puts the metrics where Nagios wants them: the first after the first line, the others after the last.
func (r *report) text() string {
	if len(r.metrics) > 0 {
		r.lines[0] += "|" + r.metrics[0]
	}
	if len(r.metrics) > 1 {
		if len(r.lines) == 1 {
			r.lines = append(r.lines, "")
		}
		r.lines[len(r.lines)-1] += "| " + strings.Join(r.metrics[1:], "\n ")
	}
	return strings.Join(r.lines, "\n") + "\n"
}
