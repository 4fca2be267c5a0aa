package protocol

import (
	"context"
	"errors"
	"net"
	"testing"
)

// answerOne serves one control stream: it reads one message and sends the answer. It returns when the client has gone.
func answerOne(ctx context.Context, conn net.Conn, answer any) error {
	if _, err := ServerPreface(ctx, conn); err != nil {
		return err
	}
	if err := AcceptPreface(ctx, conn); err != nil {
		return err
	}
	session, err := ServerSession(conn, SessionOptions{})
	if err != nil {
		return err
	}
	defer session.Close()
	stream, _, err := AcceptStream(ctx, session)
	if err != nil {
		return err
	}
	control := NewControl(stream)
	if _, err := control.Receive(ctx); err != nil {
		return err
	}
	_ = control.Send(answer) // the client may have it, and be gone, before this returns
	select {
	case <-session.CloseChan():
		return nil
	case <-ctx.Done():
		return errors.New("the client's connection is still open")
	}
}

// Who asks gets the answer, a refusal as an error, and leaves no connection.
func TestAQuestionIsAnsweredOrRefused(t *testing.T) {
	question := &StatusRequest{Version: MessageVersion, Node: "n", Name: "asks"}
	for name, answer := range map[string]any{
		"answer":  &NodeStatus{Node: "other"},
		"refusal": &Refusal{Code: CodeOutranked, Text: "no"},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcp(t)
			served := make(chan error, 1)
			go func() { served <- answerOne(t.Context(), server, answer) }()
			dial := func(context.Context) (net.Conn, error) { return client, nil }
			got, err := Ask(t.Context(), dial, nil, question, SessionOptions{})
			var refusal *Refusal
			switch status, ok := got.(*NodeStatus); {
			case name == "answer" && (!ok || status.Node != "other" || err != nil):
				t.Errorf("got %+v, %v", got, err)
			case name == "refusal" && (got != nil || !errors.As(err, &refusal) || refusal.Code != CodeOutranked):
				t.Errorf("got %+v, %v", got, err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}
