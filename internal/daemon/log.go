package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// tailLen is how much of a log an error message shows.
const tailLen = 4000

// A Log keeps what a process writes and lets others wait for a text in it. Safe for concurrent use.
type Log struct {
	mirror io.Writer

	mu    sync.Mutex
	text  []byte
	grown chan struct{} // closed and replaced at every write
}

func newLog(mirror io.Writer) *Log {
	if mirror == nil {
		mirror = io.Discard
	}
	return &Log{mirror: mirror, grown: make(chan struct{})}
}

// Write appends b.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	close(l.grown)
	l.grown = make(chan struct{})
	return l.mirror.Write(b)
}

// String returns everything written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Tail returns the last lines, for error messages.
func (l *Log) Tail() string {
	text := l.String()
	if len(text) <= tailLen {
		return text
	}
	text = text[len(text)-tailLen:]
	return "…" + text[strings.IndexByte(text, '\n')+1:]
}

// Await waits until text occurs in the log.
func (l *Log) Await(ctx context.Context, text string) error {
	for {
		l.mu.Lock()
		found, grown := bytes.Contains(l.text, []byte(text)), l.grown
		l.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %q in the log: %w\n%s", text, context.Cause(ctx), l.Tail())
		}
	}
}
