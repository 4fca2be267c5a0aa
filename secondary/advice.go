package secondary

import (
	"context"
	"errors"

	"github.com/zrsd/zrsd/protocol"
)

// A divergedError says that this node has what its primary never had. It ends with the command that sets that aside.
type divergedError struct {
	err     error
	command string
}

func (e *divergedError) Error() string {
	return clean(e.err.Error()) + "; the command for it: " + e.command
}
func (e *divergedError) Unwrap() error { return e.err }

// advised adds the command that an operator has to give, where one is asked for.
func (s *Secondary) advised(ctx context.Context, addr string, err error) error {
	var refusal *protocol.Refusal
	var unfit *unfitError
	diverged := errors.As(err, &refusal) &&
		(refusal.Code == protocol.CodeDiverged || refusal.Code == protocol.CodeAhead) ||
		errors.As(err, &unfit) && unfit.rewind
	if !diverged || s.opt.Rewind == nil || s.keep.State() == nil { // without a state nothing can be set aside
		return err
	}
	return &divergedError{err, s.opt.Rewind(ctx, addr)}
}

// decide asks Options.Diverged what to do about an error which says that this node has what its primary never had.
func (s *Secondary) decide(ctx context.Context, addr string, err error) error {
	var diverged *divergedError
	if s.opt.Diverged == nil || !errors.As(err, &diverged) {
		return nil
	}
	return s.opt.Diverged(ctx, addr)
}

// statusText is the text of an error for status: what comes from a peer is bounded, the command is there as a whole.
func statusText(err error) string {
	var diverged *divergedError
	if errors.As(err, &diverged) {
		return diverged.Error()
	}
	return clean(err.Error())
}

// statusError is the error that status has: that other addresses are not those of the primary does not hide what that
// one has said.
func (s *Secondary) statusError(err error, progress bool) error {
	var diverged *divergedError
	switch {
	case errors.As(err, &diverged):
		s.diverged = diverged
	case progress || !expected(err):
		s.diverged = nil
	case s.diverged != nil:
		return s.diverged
	}
	return err
}
