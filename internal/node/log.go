package node

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/warning"
)

// LogOptions say what is logged, how and where.
type LogOptions struct {
	Level string // trace, debug, info, warn or error
	JSON  bool   // one JSON object per line instead of text
	File  string // empty: standard error
}

// A Log is where a node's log goes. Its methods may be called concurrently.
type Log struct {
	hclog.Logger
	file *logFile // nil: standard error
}

// OpenLog opens the log. A file is appended to and created with mode 0640 before the umask.
func OpenLog(opt LogOptions) (*Log, error) {
	level := hclog.LevelFromString(opt.Level)
	if level == hclog.NoLevel {
		return nil, &ConfigError{fmt.Sprintf("log level %q: use trace, debug, info, warn or error", opt.Level)}
	}
	l := &Log{}
	var out io.Writer = os.Stderr
	if opt.File != "" {
		l.file = &logFile{path: opt.File}
		if err := l.file.reopen(); err != nil {
			return nil, &StartError{Err: fmt.Errorf("opening the log: %w", err)}
		}
		out = l.file
	}
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "zrsd", Level: hclog.Off, Output: io.Discard})
	logger.RegisterSink(cleaning{hclog.NewSinkAdapter(&hclog.LoggerOptions{
		Level: level, JSONFormat: opt.JSON, Output: out,
	})})
	l.Logger = logger
	return l, nil
}

// A cleaning sink passes on what is printable: parts of a message or of values may come from a peer. Values may have
// several lines, which the sink after it marks.
type cleaning struct{ hclog.SinkAdapter }

// Accept is hclog.SinkAdapter.
func (c cleaning) Accept(name string, level hclog.Level, msg string, args ...any) {
	clean := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case string:
			clean[i] = printable.Text(v)
		case error:
			clean[i] = printable.Text(v.Error())
		case fmt.Stringer:
			clean[i] = printable.Text(v.String())
		default:
			clean[i] = a
		}
	}
	c.SinkAdapter.Accept(name, level, printable.Line(msg), clean...)
}

// Reopen opens the log file under its name again, after somebody has moved the old one away. Where that fails the
// log goes on in the old file.
func (l *Log) Reopen() {
	if l.file == nil {
		l.Info("Log files: none to reopen, logging to standard error")
		return
	}
	if err := l.file.reopen(); err != nil {
		l.Error("Log files could not be reopened; logging continues to the old file", "error", err,
			"warning", warning.LogLost)
		return
	}
	l.Info("Log files reopened", "file", l.file.path)
}

// Close closes the file.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// A logFile is a file that can be exchanged between two lines.
type logFile struct {
	path string
	mu   sync.Mutex
	f    *os.File
}

func (l *logFile) reopen() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	l.mu.Lock()
	old := l.f
	l.f = f
	l.mu.Unlock()
	if old == nil {
		return nil
	}
	return old.Close()
}

// Write appends one line, which the logger hands over whole.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Write(line)
}

// Close closes the file; nothing can be logged any more.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
