package network

import (
	"sync"
	"time"
)

// A Condition is what a link does with what is sent over it.
type Condition int

// The conditions: see the package comment.
const (
	Open Condition = iota
	Cut
	Silent
)

// String returns the condition in words.
func (c Condition) String() string { return [...]string{"open", "cut", "silent"}[c] }

// A link is between two members.
type link struct {
	mu        sync.Mutex
	condition Condition
	delay     time.Duration
	changed   chan struct{} // closed, and replaced, when the condition changes
}

func newLink() *link { return &link{changed: make(chan struct{})} }

func (l *link) set(c Condition, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.condition, l.delay = c, delay
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) now() (Condition, time.Duration, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.condition, l.delay, l.changed
}

// pass waits until something may pass, and reports whether it ever may. closed ends the wait.
func (l *link) pass(closed <-chan struct{}) bool {
	for {
		condition, delay, changed := l.now()
		var late <-chan time.Time
		switch {
		case condition == Cut:
			return false
		case condition == Open && delay == 0:
			return true
		case condition == Open:
			late = time.After(delay)
		}
		select {
		case <-late:
			return true
		case <-changed:
		case <-closed:
			return false
		}
	}
}
