package filestorage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

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
		s.log.Warn("the lock file was removed and cannot be created again", "file", s.lock.path, "error", err)
		return nil
	}
	s.log.Warn("the lock file was removed or replaced while this server held it; it is held again: leave it alone",
		"file", s.lock.path)
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
