package filestorage

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/zodb"
)

// fullTries and fullFor are how many transactions in a row, and for how long, have to fail for want of room before the
// disk counts as full: one that is larger than what is left does not make it that.
const (
	fullTries = 3
	fullFor   = 2 * time.Second
)

// tryBytes is what an idle storage on a nearly full disk tries whether it finds room.
const tryBytes = 64 << 10

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
	_, enough := s.RoomFor(0)
	return enough
}

// RoomFor reports how many bytes are free on the disk of the Data.fs, and whether so many more fit there without making
// it nearly full. A disk that does not report its free space takes everything.
func (s *Storage) RoomFor(bytes int64) (free int64, enough bool) {
	free, err := vfs.Free(s.fs, filepath.Dir(s.path))
	if errors.Is(err, vfs.ErrNoSpaceInfo) {
		return math.MaxInt64, true
	}
	return free, err == nil && free-warning.LittleRoom >= bytes
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

// checkPath looks whether the file that is written is the one that others find at the path. Only what is certain
// counts: an error of the disk says nothing about that. Otherwise it is a *DisplacedError.
func (s *Storage) checkPath() error {
	at, err := vfs.Look(s.fs, s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.displaced("the file was renamed or removed while this server had it open",
			s.rescue())
	case err == nil && !vfs.SameFile(at, s.id):
		return s.displaced("another file was put in its place while this server had it open", s.rescue())
	}
	return nil
}

// checkPlace is checkPath, and looks whether the file has the size that it was written with: exactly, or, while
// something may be on its way into it, at least.
func (s *Storage) checkPlace(size int64, exactly bool) error {
	if err := s.checkPath(); err != nil {
		return err
	}
	own, err := vfs.LookAt(s.file)
	if err == nil && (own.Size() < size || exactly && own.Size() > size) {
		return s.displaced(
			fmt.Sprintf(
				"the file has %d bytes, this server wrote %d: another process writes to it or has cut it",
				own.Size(),
				size,
			),
			"find out who, and run zrsd check",
		)
	}
	return nil
}

// rescue says how to get at a file that has no name, or another one.
func (s *Storage) rescue() string {
	f, ok := s.file.(interface{ Fd() uintptr })
	if r, renamed := s.file.(renamedFile); renamed {
		f, ok = r.File.(interface{ Fd() uintptr })
	}
	if !ok {
		return "put the right file back"
	}
	return fmt.Sprintf("the commits up to %v are in the open file: unless you still have it under another name, "+
		"copy /proc/%d/fd/%d before you stop this server; put the right file back", s.LastTid(), os.Getpid(), f.Fd())
}

func (s *Storage) displaced(what, do string) error {
	return &DisplacedError{Path: s.path, What: what, Do: do}
}

// checkHold looks whether the lock file still keeps others out. One that was removed is made again.
func (s *Storage) checkHold() error {
	if !s.lock.lost() {
		return nil
	}
	err := s.lock.retake()
	if other := (*LockError)(nil); errors.As(err, &other) {
		return s.displaced(fmt.Sprintf("%s was removed or replaced while this server held it, and another process "+
			"holds it now (pid %d, by that file)", other.Path, other.Pid), "stop that one")
	}
	if err != nil {
		s.log.Warn("the lock file was removed and cannot be created again", "file", s.lock.path, "error", err,
			"warning", warning.FilesWrong)
		return nil
	}
	s.log.Warn("the lock file was removed or replaced while this server held it; it is held again: leave it alone",
		"file", s.lock.path, "warning", warning.FilesWrong)
	return nil
}

// checkAgain is how long a look counts for further transactions of the same group. Its path is looked at before any of
// them counts.
const checkAgain = 10 * time.Millisecond

// checkOwn looks, with the commit lock, whether a transaction may be written: to the right file, and by nobody else. It
// is asked before the first byte of each.
func (s *Storage) checkOwn() error {
	now := time.Now()
	if s.queue.busy() && now.Sub(s.writer.checked) < checkAgain {
		return nil
	}
	s.writer.checked = now
	err := s.checkHold()
	if err == nil {
		err = s.checkPlace(s.writer.end, true)
	}
	if err != nil {
		return s.fail(err)
	}
	return nil
}

// Look checks, for an idle storage, what each transaction checks before its first byte: a file that is not at its path
// any more, or to which another process writes, stops the storage as it would at a commit. It returns the *FailedError
// of a storage that has stopped.
//
// While a transaction is in progress there is nothing to do. A transaction that begins meanwhile waits for the check.
func (s *Storage) Look() error {
	if s.readOnly {
		return nil
	}
	select {
	case <-s.closed:
		return nil
	case s.commit <- struct{}{}:
		s.waits.tookLock()
	default:
		return nil
	}
	defer func() { <-s.commit }()
	if err := s.stopped(); err != nil {
		return err
	}
	return s.checkOwn()
}

// What a commit may wait for, as operators read it.
const (
	waitBlob   = "the disk: the place of a blob"
	waitWrite  = "the disk: a write to the Data.fs"
	waitSync   = "the disk: a sync of blobs and the Data.fs"
	waitNames  = "the disk: the final names of blobs"
	waitStatus = "the disk: the status in the Data.fs, and its sync"
	waitTold   = "the listeners for commits, such as ZEO clients"
)

// waits note where commits are, for a watchdog.
type waits struct {
	vote   *watchdog.Entry // of the transaction that has the commit lock
	disk   *watchdog.Entry // of what is being made durable
	lock   *watchdog.Entry
	locked atomic.Int64 // when the commit lock was taken last, Unix nanoseconds
}

func (w *waits) begin(s *Storage, board *watchdog.Board) {
	w.vote, w.disk = board.Entry("a transaction at its vote"), board.Entry("a commit")
	w.lock = board.Found("beginning a transaction", func() (string, time.Time) {
		n := s.waiting.Load()
		if n == 0 || len(s.commit) == 0 {
			return "", time.Time{}
		}
		return fmt.Sprintf("the commit lock of %s: %d wait for it, and its holder has not finished", s.path, n),
			time.Unix(0, w.locked.Load())
	})
}

func (w *waits) end() {
	w.vote.Remove()
	w.disk.Remove()
	w.lock.Remove()
}

// tookLock notes that the commit lock has been taken.
func (w *waits) tookLock() { w.locked.Store(time.Now().UnixNano()) }
