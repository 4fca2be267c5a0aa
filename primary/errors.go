package primary

import (
	"errors"
	"fmt"
)

// A goodbyeError is a reason to end a connection that the secondary should hear: it goes out as a goodbye.
type goodbyeError struct{ err error }

func (e *goodbyeError) Error() string { return e.err.Error() }
func (e *goodbyeError) Unwrap() error { return e.err }

func goodbye(format string, args ...any) error { return &goodbyeError{fmt.Errorf(format, args...)} }

// isGoodbye reports whether err is such a reason.
func isGoodbye(err error) bool {
	var p *goodbyeError
	return errors.As(err, &p)
}

// Reasons for the end of a connection.
var (
	errShutdown = goodbye("the primary is shutting down")
	errDrained  = goodbye("everything has been sent and the primary is shutting down")
	errGoodbye  = errors.New("the secondary ended the connection")
	errHungUp   = errors.New("the secondary closed the connection")
	errConfirm  = errors.New("the secondary connects again to have the identity confirmed")
)
