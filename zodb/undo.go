package zodb

import (
	"fmt"
	"strings"
)

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
