// Package recovered limits a panic to one connection, one request or one record instead of the process. There are two
// kinds of work.
//
// Do is for work that reads input of a peer, a client or a file and holds no lock when it panics that it does not
// release: the messages of a connection, a list for a client, the references of a record. The panic becomes an error.
//
// Must is for work that must not be left half done: under the commit lock, in a pack, in a change of role. There a
// panic ends the process, even below a Do; the next start cuts what was not committed.
package recovered

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/warning"
)

var (
	count  atomic.Int64
	logged atomic.Int64 // Unix nanoseconds of the last stack in a log
)

// Count returns how many panics have been turned into errors since the process began.
func Count() int64 { return count.Load() }

// An Error is a panic that was turned into an error.
type Error struct {
	what  string // was done
	Value any    // of the panic
}

func (e *Error) Error() string {
	return fmt.Sprintf(
		"%s: a fault in zrsd itself: panic: %.200s (please report it with the stack in the log)",
		e.what,
		fmt.Sprint(e.Value),
	)
}

// Bounds on what panics may write into the log, since a client can repeat what made one.
const (
	maxStack   = 8 << 10
	stackPause = time.Second // between two stacks
)

// Do runs f. A panic in it is counted, logged with its stack, and returned as an *Error.
func Do(log hclog.Logger, what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = note(log, what, v, debug.Stack())
		}
	}()
	return f()
}

func note(log hclog.Logger, what string, v any, stack []byte) error {
	n := count.Add(1)
	now, last := time.Now().UnixNano(), logged.Load()
	if (last == 0 || now-last >= int64(stackPause)) && logged.CompareAndSwap(last, now) {
		log.Error(
			"recovered from a panic: only this connection or request ended; please report it",
			"during",
			what,
			"panic",
			fmt.Sprintf("%.1000s", fmt.Sprint(v)),
			"stack",
			string(stack[:min(len(stack), maxStack)]),
			"panics",
			n, "warning", warning.Fault,
		)
	}
	return &Error{what, v}
}

// Must runs f. A panic in it ends the process with its stack, also where a Do further up would recover it.
func Must(what string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			text := fmt.Sprintf("%s: panic: %v\n%s", what, v, debug.Stack())
			go func() { panic(text) }() // nobody recovers this one
			select {}
		}
	}()
	f()
}
