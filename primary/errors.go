package primary

import (
	"errors"
	"fmt"
)

// A partingError is a reason to end a connection that the secondary should hear: it goes out as a goodbye.
type partingError struct{ err error }

func (e *partingError) Error() string { return e.err.Error() }
func (e *partingError) Unwrap() error { return e.err }

func parting(format string, args ...any) error { return &partingError{fmt.Errorf(format, args...)} }

// said reports whether err is such a reason.
func said(err error) bool {
	var p *partingError
	return errors.As(err, &p)
}

// Reasons for the end of a connection.
var (
	errShutdown = parting("the primary is shutting down")
	errDrained  = parting("everything has been sent and the primary is shutting down")
	errGoodbye  = errors.New("the secondary said goodbye")
	errHungUp   = errors.New("the secondary closed the connection")
	errConfirm  = errors.New("the secondary connects again to have the identity confirmed")
)
