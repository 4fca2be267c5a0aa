package lease

import (
	"sync"
	"time"
)

// A Status is the status of a loop.
type Status struct {
	View      View
	Known     bool // there is a view
	Remaining time.Duration
	Doing     string    // and why
	LastError string    // of the coordinator, and when; empty: none, or it is over
	ErrorTime time.Time // by the wall clock, for people
}

// Status is safe for concurrent use.
func (l *Loop) Status() Status {
	var s Status
	s.View, _, s.Known = l.views.latest()
	s.Remaining = l.expiry.Remaining()
	l.status.mu.Lock()
	defer l.status.mu.Unlock()
	s.Doing, s.LastError, s.ErrorTime = l.status.doing, l.status.lastError, l.status.errorTime
	return s
}

// A statusBoard is what the loop's goroutines tell each other and the status.
type statusBoard struct {
	mu        sync.Mutex
	doing     string
	lastError string
	errorTime time.Time
	until     time.Duration // stands aside
	because   string
}

func (b *statusBoard) setDoing(why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.doing = why
}

func (b *statusBoard) getDoing() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.doing
}

// noteError reports whether the error is another than the last.
func (b *statusBoard) noteError(what string, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := what + ": " + err.Error()
	news := text != b.lastError
	b.lastError, b.errorTime = text, time.Now()
	return news
}

// works notes that the coordinator did what it was asked to: an error that has not come again for some time is over.
func (b *statusBoard) works(now time.Time, again time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.errorTime) > again {
		b.lastError, b.errorTime = "", time.Time{}
	}
}

func (b *statusBoard) standAside(until time.Duration, because string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until, b.because = until, because
}

// aside reports whether the node still stands aside, and why.
func (b *statusBoard) aside(now time.Duration) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.because, now < b.until
}
