package filestorage

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// fullTries and fullFor are how many transactions in a row, and for how long, have to fail for want of room before the
// disk counts as full: one that is larger than what is left does not make it that.
const (
	fullTries = 3
	fullFor   = 2 * time.Second
)

// littleRoom is how much has to be left on a disk for it not to be nearly full. tryBytes is what an idle storage on a
// disk with less than that tries whether it finds room.
const (
	littleRoom = 64 << 20
	tryBytes   = 64 << 10
)

// A FullError says that transactions fail for want of room on the disk. It ends with the first one that finds room.
type FullError struct {
	Path  string
	Since time.Time
	Cause error
}

func (e *FullError) Error() string {
	return fmt.Sprintf("no transaction fitted on the disk of %s since %s (%v): free some space there", e.Path,
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

// failing reports whether the last transaction found no room.
func (r *room) failing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tries > 0
}

// Roomy reports whether the disk is not nearly full. A disk that does not report its free space counts as roomy.
func (s *Storage) Roomy() bool {
	free, err := vfs.Free(s.fs, filepath.Dir(s.path))
	return errors.Is(err, vfs.ErrNoSpaceInfo) || err == nil && free >= littleRoom
}

// TryRoom finds out, for a storage on which nobody commits, whether a small transaction would find room, if the disk is
// nearly full or the last transaction found none: it writes one where the next one would begin and cuts it off again,
// like an aborted one. The result counts for Ailment as that of any transaction. A crash leaves the same as during an
// aborted transaction.
func (s *Storage) TryRoom() error {
	if s.Roomy() && !s.room.failing() {
		return nil
	}
	txn, err := s.BeginNow(&zodb.TxnMeta{Description: []byte("zrsd: is there room")})
	if err != nil || txn == nil { // somebody commits, and finds out
		return err
	}
	serial, _ := s.GetTid(0) // the root object; without one there is nothing to conflict with
	err = txn.Store(0, serial, make([]byte, tryBytes))
	if err == nil {
		err = txn.Complete()
	}
	if err == nil {
		s.room.found()
	}
	return errors.Join(err, txn.Abort())
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
