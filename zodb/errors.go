package zodb

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that carry nothing but their meaning. Wrapped with what was attempted, on which file, oid or peer.
var (
	// ErrReadOnly is ZODB's ReadOnlyError.
	ErrReadOnly = errors.New("storage is read-only")
	// ErrTransaction is ZODB's StorageTransactionError.
	ErrTransaction = errors.New("call does not belong to the transaction in progress")
	ErrClosed      = errors.New("storage is closed")
	ErrEmptyData   = errors.New("a record cannot have empty data: delete the object, or store its state")
	ErrTidOrder    = errors.New("tid is not above the last one")
	ErrNoTid       = errors.New("no transaction has this tid")
)

// A POSKeyError says that an object, or the revision asked for, does not exist. Blob is set when the record exists but
// its blob file does not.
type POSKeyError struct {
	Oid  Oid
	Tid  Tid // 0 when no revision in particular was asked for
	Blob bool
}

func (e *POSKeyError) Error() string {
	switch {
	case e.Blob:
		return fmt.Sprintf("no blob file for oid %v tid %v", e.Oid, e.Tid)
	case e.Tid != 0:
		return fmt.Sprintf("no revision %v of oid %v", e.Tid, e.Oid)
	}
	return fmt.Sprintf("no object with oid %v", e.Oid)
}

// A ConflictError says that an object was changed since the revision that the caller saw.
type ConflictError struct {
	Oid     Oid
	Current Tid // the revision in the storage
	Seen    Tid // the revision that the caller based its change on
	Read    bool
}

func (e *ConflictError) Error() string {
	what := "write conflict"
	if e.Read {
		what = "read conflict"
	}
	return fmt.Sprintf("%s on oid %v: current serial is %v, caller saw %v", what, e.Oid, e.Current, e.Seen)
}

// A TooLongError says that user, description or extension exceeds MaxMetaLen.
type TooLongError struct {
	Field string
	Len   int
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("transaction %s has %d bytes, at most %d are possible", e.Field, e.Len, MaxMetaLen)
}

// A CorruptError says that a file is not what its format promises. Nothing that returns one has changed the file.
type CorruptError struct {
	File string
	Pos  int64
	Want string // what was expected at Pos
	Got  string // what is there
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: damaged at offset %d: want %s, got %s", e.File, e.Pos, e.Want, e.Got)
}

// ErrDamagedBlob is what errors about damaged blobs are, by errors.Is.
var ErrDamagedBlob = errors.New("the blob is damaged")

// A DamagedBlobError says that the file of a blob has another size than was noted when the blob was committed or
// received.
type DamagedBlobError struct {
	Oid         Oid
	Tid         Tid
	Size, Noted int64
}

func (e *DamagedBlobError) Error() string {
	return fmt.Sprintf("the blob of oid %v tid %v is damaged: its file has %d bytes, and %d were noted of it", e.Oid,
		e.Tid, e.Size, e.Noted)
}

// Is is for errors.Is.
func (e *DamagedBlobError) Is(target error) bool { return target == ErrDamagedBlob }

// An UndoError says why a transaction cannot be undone at all. It is ZODB's UndoError; Reason is its text.
type UndoError struct {
	Tid    Tid
	Reason string
}

func (e *UndoError) Error() string { return fmt.Sprintf("undo transaction %v: %s", e.Tid, e.Reason) }

// A MultipleUndoError says which objects keep a transaction from being undone. It is ZODB's MultipleUndoErrors.
type MultipleUndoError struct {
	Tid      Tid
	Failures []UndoFailure // at least one, each oid once
}

// An UndoFailure is an object that cannot go back to what it was.
type UndoFailure struct {
	Oid    Oid
	Reason string // the text of ZODB's UndoError
	Err    error  // what kept the conflict from being resolved, nil when that was not tried
}

func (e *MultipleUndoError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "undo transaction %v:", e.Tid)
	for i, f := range e.Failures {
		if i > 0 {
			b.WriteByte(';')
		}
		fmt.Fprintf(&b, " oid %v: %s", f.Oid, f.Reason)
		if f.Err != nil {
			fmt.Fprintf(&b, " (%v)", f.Err)
		}
	}
	return b.String()
}
