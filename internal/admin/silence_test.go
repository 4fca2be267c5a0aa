package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/internal/inside"
)

// A silentNode takes connections. It begins to answer a question about what is inside after begins, and never where
// that is 0, and ends after another time. It says that it is alive, if it is.
type silentNode struct {
	alive        bool
	begins, ends time.Duration
}

func (n *silentNode) dial(context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	go n.serve(server)
	return client, nil
}

func (n *silentNode) serve(conn net.Conn) {
	defer conn.Close()
	request := make([]byte, 4096)
	size, err := conn.Read(request)
	if err != nil {
		return
	}
	answer := "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
	switch path := strings.Fields(string(request[:size]))[1]; {
	case strings.HasPrefix(path, alivePath) && n.alive:
		_, _ = io.WriteString(conn, answer+"alive\n")
	case strings.HasPrefix(path, "/"+insideCommand), strings.HasPrefix(path, "/"+promoteCommand):
		_, _ = io.WriteString(conn, answer)
		if n.begins > 0 {
			<-time.After(n.begins)
			_, _ = io.WriteString(conn, `{"part":"e30="}`+"\n")
			<-time.After(n.ends)
			_, _ = io.WriteString(conn, `{"end":true}`+"\n")
			return
		}
		fallthrough
	default:
		_, _ = io.Copy(io.Discard, conn) // until the client hangs up
	}
}

func (n *silentNode) ask(ctx context.Context) error {
	_, err := AskInside(ctx, n.dial, "", &inside.Question{Ask: inside.AskClasses, Limit: 1}, func(VerifyProgress) {})
	return err
}

// TestANodeThatAnswersNothingIsFoundOut: what is asked of a process that was stopped ends by itself, in a bounded time.
func TestANodeThatAnswersNothingIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		err := (&silentNode{}).ask(t.Context())
		var silent *SilentError
		if !errors.As(err, &silent) || !silent.Sent {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(begun); took != silentFor+aliveWithin {
			t.Errorf("it took %v", took)
		}
	})
}

// TestWhatTakesLongIsNotTakenForSilence: a node that says for hours nothing of what it was asked, and is alive, is
// waited for.
func TestWhatTakesLongIsNotTakenForSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := (&silentNode{alive: true, begins: 5 * time.Hour}).ask(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestAnAnswerThatComesWhileItIsAskedForLifeCounts: it has not answered that in time, and does what it was asked.
func TestAnAnswerThatComesWhileItIsAskedForLifeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &silentNode{begins: silentFor + time.Second, ends: aliveWithin + time.Second}
		if err := n.ask(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestAMachineThatDoesNotAnswerIsFoundOut: packets to it vanish, so that no connection comes about.
func TestAMachineThatDoesNotAnswerIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, err := AskClients(t.Context(), func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, "")
		var silent *SilentError
		if !errors.As(err, &silent) || silent.Sent {
			t.Errorf("got %v", err)
		}
	})
}

// TestTheOutcomeOfAChangeByANodeThatAnswersNothingIsUnknown: it may do it when it goes on.
func TestTheOutcomeOfAChangeByANodeThatAnswersNothingIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := AskPromote(t.Context(), (&silentNode{}).dial, ChangeOptions{}, false,
			func([]byte, *Step) error { return nil })
		if !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("got %v", err)
		}
	})
}

// TestTheReasonOfWhoStopsIsKept: it is no silence of the node.
func TestTheReasonOfWhoStopsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		because := errors.New("because")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-time.After(silentFor + time.Second)
			cancel(because)
		}()
		if err := (&silentNode{}).ask(ctx); !errors.Is(err, because) {
			t.Errorf("got %v", err)
		}
	})
}
