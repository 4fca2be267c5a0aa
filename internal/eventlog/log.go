package eventlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/printable"
)

// Levels, with the numbers of Python's logging.
const (
	trace    = 5
	debug    = 10
	info     = 20
	warning  = 30
	failure  = 40
	critical = 50
)

// Severity is the key of a pair that only says how severe an error is: Error(text, Severity, Critical).
const (
	Severity = "severity"
	Critical = "critical"
)

// A Sink is one place for the log.
type Sink struct {
	Path     string // or STDOUT, STDERR
	Level    int    // Python's number
	Format   string
	Date     string
	MaxSize  int64 // bytes at which the file is moved away; 0: never
	OldFiles int   // how many of those are kept
}

// A Log writes to all its sinks. Its methods may be called concurrently.
type Log struct {
	hclog.Logger
	sinks []*sink
}

// Open opens all sinks. Records below level are dropped.
func Open(level int, sinks []Sink) (*Log, error) {
	l := &Log{}
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "zrsd", Level: hclog.Off, Output: io.Discard})
	for _, s := range sinks {
		opened, err := open(s, level)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening the log: %w", err), l.Close())
		}
		l.sinks = append(l.sinks, opened)
		logger.RegisterSink(opened)
	}
	l.Logger = logger
	return l, nil
}

// Reopen opens files under their names again, after they were renamed. If one cannot be opened, the log continues
// in the old file.
func (l *Log) Reopen() {
	files, failed := 0, false
	for _, s := range l.sinks {
		if s.file == nil {
			continue
		}
		files++
		if err := s.file.reopen(); err != nil {
			failed = true
			l.Error("Log files could not be reopened; logging continues to the old file", "error", err,
				"warning", "log_lost")
		}
	}
	switch {
	case files == 0:
		l.Info("Log files: there are none to reopen")
	case !failed:
		l.Info("Log files reopened successfully")
	}
}

// Close closes the files.
func (l *Log) Close() (err error) {
	for _, s := range l.sinks {
		if s.file != nil {
			err = errors.Join(err, s.file.Close())
		}
	}
	return err
}

// A sink is an opened Sink.
type sink struct {
	level  int
	format *Format
	date   *Date
	out    io.Writer
	file   *file // nil: a standard stream
}

func open(s Sink, level int) (o *sink, err error) {
	o = &sink{level: max(s.Level, level)}
	if o.format, err = ParseFormat(s.Format); err != nil {
		return nil, err
	}
	if o.date, err = ParseDate(s.Date); err != nil {
		return nil, err
	}
	switch s.Path {
	case "STDOUT":
		o.out = os.Stdout
	case "STDERR":
		o.out = os.Stderr
	default:
		o.file = &file{path: s.Path, max: s.MaxSize, old: s.OldFiles}
		o.out = o.file
		err = o.file.reopen()
	}
	return o, err
}

// Accept is hclog.SinkAdapter.
func (s *sink) Accept(name string, level hclog.Level, msg string, args ...any) {
	r := &record{time: time.Now(), level: number(level), name: name}
	r.message = r.text(msg, args)
	if r.level < s.level {
		return
	}
	_, _ = io.WriteString(s.out, s.format.line(r, s.date)) // a log that cannot be written has nowhere to say so
}

func number(l hclog.Level) int {
	switch l {
	case hclog.Trace:
		return trace
	case hclog.Debug:
		return debug
	case hclog.Warn:
		return warning
	case hclog.Error:
		return failure
	}
	return info
}

func levelName(level int) string {
	switch level {
	case trace:
		return "TRACE"
	case debug:
		return "DEBUG"
	case info:
		return "INFO"
	case warning:
		return "WARNING"
	case failure:
		return "ERROR"
	case critical:
		return "CRITICAL"
	}
	return "Level " + strconv.Itoa(level)
}

// text appends the pairs to a message, and raises the level of what is critical. Parts of either may come from a client
// or a peer, so the record is one line of printable characters whatever is in them.
func (r *record) text(msg string, args []any) string {
	var out strings.Builder
	out.WriteString(printable.Line(msg))
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == Severity && args[i+1] == Critical {
			r.level = critical
			continue
		}
		fmt.Fprintf(&out, " %v=%s", args[i], quoted(args[i+1]))
	}
	return out.String()
}

// quoted keeps one value in one line and apart from the next.
func quoted(v any) string {
	if f, isFormat := v.(hclog.Format); isFormat && len(f) > 0 {
		v = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
	}
	s := fmt.Sprint(v)
	if s == "" || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, func(c rune) bool { return c == ' ' || c == '"' || !unicode.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}
