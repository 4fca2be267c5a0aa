package protocol

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

// withContext runs f, whose calls setDeadline governs, and makes them fail when ctx ends. Then the context's cause is
// returned. No deadline is left behind.
func withContext(ctx context.Context, setDeadline func(time.Time) error, f func() error) error {
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		_ = setDeadline(time.Unix(1, 0)) // fails only on a closed connection, and then f fails as well
	})
	err := f()
	if stop() {
		return err
	}
	<-fired
	if err == nil {
		return setDeadline(time.Time{})
	}
	return context.Cause(ctx)
}

// isTimeout reports whether err is that of a passed deadline, the kernel's or yamux's.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// isReset reports whether err means that the peer closed without having read everything.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
