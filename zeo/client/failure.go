package client

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A ServerError is an exception of the server's that has no error of its own in package zodb.
type ServerError struct {
	Class string // the dotted name
	Text  string // its arguments
}

func (e *ServerError) Error() string { return e.Class + ": " + e.Text }

// An UnknownError says that the outcome of a transaction is unknown: the connection ended after tpc_finish was sent,
// and before its answer came. To find out, load its objects from the server that is then primary.
type UnknownError struct{ Err error }

func (e *UnknownError) Error() string {
	return "the result of the commit is not known: look for the transaction before you commit it again: " +
		e.Err.Error()
}

func (e *UnknownError) Unwrap() error { return e.Err }

// An endedError says that the connection has ended before the reply.
type endedError struct{ err error }

func (e *endedError) Error() string { return "the connection has ended: " + e.err.Error() }
func (e *endedError) Unwrap() error { return e.err }

// replyOf reads the result of a call, or its exception.
func replyOf(m *wire.Message) reply {
	const flagError = 2
	if m.Flag != flagError {
		return reply{value: m.Args}
	}
	t, _ := m.Args.(pickle.Tuple)
	if len(t) != 2 {
		return reply{err: &ServerError{Text: text(m.Args)}}
	}
	return reply{err: exception(text(t[0]), t[1])}
}

// exception is the error for an exception of the server's. Those of which details are of use have errors of their own.
func exception(class string, details pickle.Value) error {
	switch class {
	case "ZODB.POSException.ConflictError", "ZODB.POSException.ReadConflictError":
		if d, ok := details.(*pickle.Dict); ok {
			if err := conflictOf(d); err != nil {
				err.Read = class == "ZODB.POSException.ReadConflictError"
				return err
			}
		}
	case "ZODB.POSException.UndoError", "ZODB.POSException.MultipleUndoErrors":
		if d, ok := details.(*pickle.Dict); ok {
			return undoError(d)
		}
	case "ZODB.POSException.ReadOnlyError":
		return zodb.ErrReadOnly
	case "ZODB.POSException.POSKeyError":
		if t, ok := details.(pickle.Tuple); ok && len(t) > 0 {
			if oid, err := idOf(t[0]); err == nil {
				return &zodb.POSKeyError{Oid: zodb.Oid(oid)}
			}
		}
	}
	return &ServerError{class, text(details)}
}

// conflictOf reads the attributes of a conflict, nil if they are not what they should be.
func conflictOf(d *pickle.Dict) *zodb.ConflictError {
	serials, _ := item(d, "serials").(pickle.Tuple)
	if len(serials) != 2 {
		return nil
	}
	var ids [3]uint64
	for i, v := range []pickle.Value{item(d, "oid"), serials[0], serials[1]} {
		var err error
		if ids[i], err = idOf(v); err != nil {
			return nil //nolint:nilerr // the exception is told by its text then
		}
	}
	return &zodb.ConflictError{Oid: zodb.Oid(ids[0]), Current: zodb.Tid(ids[1]), Seen: zodb.Tid(ids[2])}
}

// undoError reads the attributes of what keeps a transaction from being undone: objects that later ones have changed,
// or one reason.
func undoError(d *pickle.Dict) error {
	list, _ := item(d, "_errs").(*pickle.List)
	if list == nil {
		return &zodb.UndoError{Reason: text(item(d, "_reason"))}
	}
	e := &zodb.MultipleUndoError{}
	for _, v := range list.Items {
		one, _ := v.(pickle.Tuple)
		if len(one) != 2 {
			continue
		}
		if oid, err := idOf(one[0]); err == nil {
			e.Failures = append(e.Failures, zodb.UndoFailure{Oid: zodb.Oid(oid), Reason: text(one[1])})
		}
	}
	return e
}

// maxText bounds what of a server's words is repeated.
const maxText = 1000

// text shows the arguments of an exception.
func text(v pickle.Value) string {
	if t, ok := v.(pickle.Tuple); ok && len(t) == 1 {
		v = t[0]
	}
	s := fmt.Sprint(v)
	if d, ok := v.(*pickle.Dict); ok {
		s = fmt.Sprint(d.Items)
	}
	return s[:min(len(s), maxText)]
}
