package filestorage

import (
	"fmt"
	"sync"
	"time"
)

// fullTries and fullFor are how many transactions in a row, and for how long, have to fail for want of room before the
// disk counts as full: one that is larger than what is left does not make it that.
const (
	fullTries = 3
	fullFor   = 2 * time.Second
)

// A FullError says that transactions fail for want of room on the disk. It ends with the first one that finds room.
type FullError struct {
	Path  string
	Since time.Time
	Cause error
}

func (e *FullError) Error() string {
	return fmt.Sprintf("no transaction has found room on the disk of %s since %s (%v): make room there", e.Path,
		e.Since.UTC().Format(time.RFC3339), e.Cause)
}

func (e *FullError) Unwrap() error { return e.Cause }

// room notes how transactions fare for which the disk may have no room.
type room struct {
	mu    sync.Mutex
	tries int
	since time.Time // of the first failure in a row
	cause error
}

// failed notes an error of a transaction.
func (r *room) failed(err error, now time.Time) {
	if !noRoom(err) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tries++; r.tries == 1 {
		r.since = now
	}
	r.cause = err
}

// found notes that a transaction has found room.
func (r *room) found() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries, r.cause = 0, nil
}

// Ailment returns why the storage takes no transactions, as far as has been noticed: a *FailedError, which opening it
// again may mend, or a *FullError. It is nil while all is well, and is asked often.
func (s *Storage) Ailment() error {
	if err := s.stopped(); err != nil {
		return err
	}
	r := &s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tries < fullTries || s.now().Sub(r.since) < fullFor {
		return nil
	}
	return &FullError{Path: s.path, Since: r.since, Cause: r.cause}
}

// stopped returns the *FailedError of a storage that takes no transactions any more.
func (s *Storage) stopped() error {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.failed
}
