package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/protocoltest"
	"github.com/zrsd/zrsd/protocol"
)

// question returns what the tests ask with.
func question() *protocol.StatusRequest {
	return &protocol.StatusRequest{Version: protocol.MessageVersion, Node: "n", Name: "asks"}
}

// An answering is the other side of Ask: each connection gets the next answer.
type answering struct {
	answers []func(net.Conn) // each reads one message of a control stream and answers it
	served  chan error       // of each connection, when the client has closed it
}

func (a *answering) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	answer := a.answers[0]
	a.answers = a.answers[1:]
	go func() { a.served <- serveOne(ctx, server, answer) }()
	return client, nil
}

// serveOne answers on the control stream of one connection, and waits until the client has closed that.
func serveOne(ctx context.Context, conn net.Conn, answer func(control net.Conn)) error {
	session, control, err := protocoltest.Accept(ctx, conn)
	if err != nil {
		return err
	}
	defer session.Close()
	answer(control)
	select {
	case <-session.CloseChan():
		return nil
	case <-ctx.Done():
		return errors.New("the client's connection is still open")
	}
}

// Who asks gets the answer, a refusal as an error, and leaves no connection.
func TestAQuestionIsAnsweredOrRefused(t *testing.T) {
	for name, answer := range map[string]any{
		"answer":  &protocol.NodeStatus{Node: "other"},
		"refusal": &protocol.Refusal{Code: protocol.CodeOutranked, Text: "no"},
	} {
		t.Run(name, func(t *testing.T) {
			other := &answering{served: make(chan error, 1), answers: []func(net.Conn){func(conn net.Conn) {
				control := protocol.NewControl(conn)
				if _, err := control.Receive(t.Context()); err != nil {
					t.Error(err)
				}
				_ = control.Send(answer) // the client may have it, and be gone, before this returns
			}}}
			got, err := protocol.Ask(t.Context(), other.dial, nil, question(), protocol.SessionOptions{})
			var refusal *protocol.Refusal
			switch status, ok := got.(*protocol.NodeStatus); {
			case name == "answer" && (!ok || status.Node != "other" || err != nil):
				t.Errorf("got %+v, %v", got, err)
			case name == "refusal" && (got != nil || !errors.As(err, &refusal) || refusal.Text != "no"):
				t.Errorf("got %+v, %v", got, err)
			}
			if err := <-other.served; err != nil {
				t.Error(err)
			}
		})
	}
}

// A node of version 1 refuses the question of version 2, and answers the same question of version 1.
func TestANodeOfVersion1IsAskedAgain(t *testing.T) {
	answers := func(kind, file string) func(net.Conn) {
		recorded, err := os.ReadFile(filepath.Join("testdata", "version1", file))
		if err != nil {
			t.Fatal(err)
		}
		return func(control net.Conn) {
			payload, err := protocol.ReadSized(control, nil, 1<<20)
			begin := append([]byte{0x92, 0xa0 | byte(len(kind))}, kind...) // an array of two, the kind is the first
			if err != nil || !bytes.HasPrefix(payload, begin) {
				t.Errorf("it was asked with %q, %v, want a %s", payload, err, kind)
			}
			_, _ = control.Write(recorded) // the client may have it, and be gone, before this returns
		}
	}
	other := &answering{served: make(chan error, 2), answers: []func(net.Conn){
		answers("status_request", "session/refusal-of-status_request.bin"), answers("bid", "messages/promise.bin"),
	}}
	got, err := protocol.Ask(t.Context(), other.dial, nil, question(), protocol.SessionOptions{})
	if status, ok := got.(*protocol.NodeStatus); !ok || err != nil || status.Name != "other" || status.LastTid != 17 {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := errors.Join(<-other.served, <-other.served); err != nil {
		t.Error(err)
	}
}
