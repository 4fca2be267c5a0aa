package secondary

import (
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/internal/printable"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// Reasons for the end of a connection.
var (
	errStopped   = errors.New("the secondary is shutting down")
	errHandshake = errors.New("the primary took too long to answer in the handshake")
	errSilent    = errors.New("nothing received from the primary for too long: the connection counts as dead")
	errStalled   = errors.New("the primary answers and has more transactions, but none arrive: the stream counts " +
		"as broken")
	errIncomplete = errors.New("a transaction has begun to arrive and its rest does not: the stream counts as broken")
	errEnded      = errors.New("the primary ended the replication stream without saying why")
	errOver       = errors.New("the primary ended the stream")
	errWordless   = errors.New("the primary closed the connection without a reason")
	errConfirm    = errors.New("connecting again to have the identity of the primary's storage confirmed")
)

// A localError is trouble with this node's own files. The peer did nothing wrong.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// An unfitError says that this secondary cannot follow this primary although the primary would accept it.
type unfitError struct {
	text   string
	rewind bool // what this node has more can be set aside
}

func (e *unfitError) Error() string { return e.text }

func unfit(format string, args ...any) error { return &unfitError{text: fmt.Sprintf(format, args...)} }

// A goodbyeError is the primary's goodbye.
type goodbyeError struct{ reason string }

func (e *goodbyeError) Error() string { return "the primary ended the connection: " + clean(e.reason) }

// mustReopen reports whether err is one that only opening the storage again can mend.
func mustReopen(err error) bool {
	var failed *filestorage.FailedError
	return errors.As(err, &failed)
}

// stateAfter says in which state an error leaves the secondary until the next connection is accepted, and whether it
// looks as if nothing changed before an operator acts.
func stateAfter(err error) (saved State, final bool) {
	var (
		refusal *protocol.Refusal
		not     *unfitError
		large   *protocol.TooLargeError
		local   *localError
	)
	switch {
	case errors.As(err, &refusal) && refusal.Final(), errors.As(err, &not),
		errors.Is(err, zodb.ErrTidOrder), errors.Is(err, protocol.ErrUnproven), errors.As(err, &large):
		return StateRefused, true
	case errors.As(err, &local):
		return StateFailed, false
	}
	return StateWaiting, false
}

// maxText is how many bytes of a text from a peer are shown.
const maxText = 1000

// clean is what is shown of a text from a peer.
func clean(s string) string { return printable.Short(s, maxText) }
