package zeo

import (
	"context"
	"errors"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// A failure is an exception as clients see it: the dotted name of its class, and its arguments or attributes. Those
// that the client has a class for must have exactly what that takes, or the caller hangs.
type failure struct {
	class   string
	details pickle.Value
}

// The classes that clients know.
const (
	classPOSKey       = "ZODB.POSException.POSKeyError"
	classConflict     = "ZODB.POSException.ConflictError"
	classReadConflict = "ZODB.POSException.ReadConflictError"
	classReadOnly     = "ZODB.POSException.ReadOnlyError"
	classTransaction  = "ZODB.POSException.StorageTransactionError"
	classUndo         = "ZODB.POSException.UndoError"
	classManyUndo     = "ZODB.POSException.MultipleUndoErrors"
	classStorage      = "ZODB.POSException.StorageError"
	classFile         = "ZODB.FileStorage.FileStorage.FileStorageError"
	classKey          = "builtins.KeyError"
	classValue        = "builtins.ValueError"
	classType         = "builtins.TypeError"
)

// A callError is an exception that the server raises itself.
type callError struct{ failure }

func (e *callError) Error() string { return e.class }

func raise(class string, args ...pickle.Value) error {
	return &callError{failure{class, pickle.Tuple(args)}}
}

// failureOf returns the exception for an error, and whether it is one of ours, which an operator should see.
func failureOf(err error) (f failure, internal bool) {
	var (
		call     *callError
		key      *zodb.POSKeyError
		conflict *zodb.ConflictError
		argument *argumentError
		undo     *zodb.UndoError
		undos    *zodb.MultipleUndoError
	)
	switch {
	case errors.As(err, &call):
		return call.failure, false
	case errors.As(err, &key):
		return keyFailure(key), false
	case errors.As(err, &conflict):
		return conflictFailure(conflict, nil), false
	case errors.As(err, &argument):
		return failure{classType, pickle.Tuple{argument.text}}, false
	case errors.As(err, &undos):
		return undosFailure(undos), false
	case errors.As(err, &undo):
		return failure{classUndo, dict("_reason", undo.Reason, "_oid", nil)}, false
	case errors.Is(err, zodb.ErrReadOnly):
		return failure{classReadOnly, pickle.Tuple{}}, false
	case errors.Is(err, zodb.ErrTransaction):
		return failure{classTransaction, pickle.Tuple{err.Error()}}, false
	case errors.Is(err, filestorage.ErrPacking):
		return failure{classFile, pickle.Tuple{"Already packing"}}, false
	}
	return failure{classStorage, pickle.Tuple{err.Error()}}, !errors.Is(err, context.Canceled)
}

func keyFailure(e *zodb.POSKeyError) failure {
	if e.Blob {
		return failure{classPOSKey, pickle.Tuple{"No blob file", oidValue(e.Oid), tidValue(e.Tid)}}
	}
	return failure{classPOSKey, pickle.Tuple{oidValue(e.Oid)}}
}

func conflictFailure(e *zodb.ConflictError, class pickle.Value) failure {
	name, message := classConflict, "database conflict error"
	if e.Read {
		name, message = classReadConflict, "database read conflict error"
	}
	return failure{name, dict(
		"message", message, "oid", oidValue(e.Oid),
		"serials", pickle.Tuple{tidValue(e.Current), tidValue(e.Seen)}, "class_name", class,
	)}
}

func undosFailure(e *zodb.MultipleUndoError) failure {
	list := &pickle.List{}
	for _, f := range e.Failures {
		list.Items = append(list.Items, pickle.Tuple{oidValue(f.Oid), f.Reason})
	}
	return failure{classManyUndo, dict("_errs", list)}
}

// tellEvery is how often a trouble that stays the same is logged.
const tellEvery = time.Minute

// A trouble is something that is tried again until it succeeds, so that its log has to be bounded.
type trouble struct {
	text string // empty: there is none
	told time.Time
}

// worthTelling reports whether an error is new, or has not been logged for a while.
func (t *trouble) worthTelling(err error, now time.Time) bool {
	if text := err.Error(); text != t.text || now.Sub(t.told) >= tellEvery {
		t.text, t.told = text, now
		return true
	}
	return false
}

// ended notes that all is well, and reports whether it was not.
func (t *trouble) ended() bool {
	was := t.text != ""
	*t = trouble{}
	return was
}
