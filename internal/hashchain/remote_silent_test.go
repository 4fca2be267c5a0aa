package hashchain

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestANodeThatDoesNotGreetIsNotWaitedFor: a process that was stopped takes connections all the same.
func TestANodeThatDoesNotGreetIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		_, err := Dial(t.Context(), func(context.Context) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				_, _ = io.Copy(io.Discard, server)
			}()
			return client, nil
		}, nil, "test")
		if took := time.Since(begun); !errors.As(err, new(*SilentError)) || took != connectWithin {
			t.Errorf("got %v after %v", err, took)
		}
	})
}
