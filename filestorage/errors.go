package filestorage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/zrsd/zrsd/zodb"
)

// ErrVersions says that a file holds records of ZODB 3 "versions", which nothing reads any more.
var ErrVersions = errors.New("record of a ZODB 3 version, not supported: get rid of versions with ZODB 3 first")

// ErrNoBlobs says that a transaction has a blob and the storage was opened without a blob directory.
var ErrNoBlobs = errors.New("the storage has no blob directory: reopen it with one")

// A LockError says that another process has the storage open for writing.
type LockError struct {
	Path string // of the lock file, or of the Data.fs when that is what is locked
	Pid  int    // what the lock file says, 0 when it says nothing
	Err  error
}

func (e *LockError) Error() string {
	who := "another process, such as runzeo or another zrsd,"
	if e.Pid != 0 {
		who = fmt.Sprintf("another process, such as runzeo or another zrsd (pid %d according to the lock file),", e.Pid)
	}
	why := ""
	if !strings.HasSuffix(e.Path, lockSuffix) {
		why = "; its lock file was removed or replaced, which does not let anybody else in"
	}
	return fmt.Sprintf("%s has the storage open for writing (%s is locked%s): stop it first",
		who, e.Path, why)
}

func (e *LockError) Unwrap() error { return e.Err }

// A CreateError says that a Data.fs is missing beside files that belong to one. Creating an empty one there would hide
// the accident.
type CreateError struct {
	Path  string // the missing Data.fs
	Found string // what is there
}

func (e *CreateError) Error() string {
	return fmt.Sprintf("%s is missing, but there is %s: put the Data.fs back, or move that away for an empty storage",
		e.Path, e.Found)
}

// A DisplacedError says that the open file of a storage is not the file at its path, or that another process writes to
// it, too: commits would be lost.
type DisplacedError struct {
	Path string // of the Data.fs
	What string // what was found
	Do   string // what an operator does
}

func (e *DisplacedError) Error() string {
	return fmt.Sprintf("%s: %s, then restart zrsd", e.What, e.Do)
}

// A FailedError says that the storage stopped writing because the disk failed at a point after which it is unknown
// which of the last transactions are on it. What was committed before can still be read.
type FailedError struct {
	Path  string
	Cause error
}

func (e *FailedError) Error() string {
	if displaced := (*DisplacedError)(nil); errors.As(e.Cause, &displaced) {
		return fmt.Sprintf("%s takes no more transactions: %v", e.Path, displaced)
	}
	return fmt.Sprintf("%s takes no more transactions since the disk failed (%v): check the disk, then restart zrsd",
		e.Path, e.Cause)
}

func (e *FailedError) Unwrap() error { return e.Cause }

func corruptAt(path string, pos int64, want, got string) error {
	return &zodb.CorruptError{File: path, Pos: pos, Want: want, Got: got}
}
