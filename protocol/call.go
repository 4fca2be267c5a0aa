package protocol

import (
	"context"
	"errors"
	"net"

	"github.com/hashicorp/yamux"
)

// Call begins a session on conn and returns its control stream, on which the secret, if there is one, has been proved.
// The next message is the caller's: a Hello, or a Bid. On success the caller closes the session, and conn with it;
// otherwise conn is closed. The errors are those of ClientPreface, ClientSession, OpenStream and Secret.Present.
func Call(ctx context.Context, conn net.Conn, secret Secret, opt SessionOptions) (*yamux.Session, *Control, error) {
	if err := ClientPreface(ctx, conn); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	session, err := ClientSession(conn, opt)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	control, err := openControl(ctx, session, secret)
	if err != nil {
		return nil, nil, errors.Join(err, session.Close())
	}
	return session, control, nil
}

// Ask sends one message on a session of its own, and returns the answer. A Refusal is an error. conn is closed.
func Ask(ctx context.Context, conn net.Conn, secret Secret, question any, opt SessionOptions) (answer any, err error) {
	session, control, err := Call(ctx, conn, secret, opt)
	if err != nil {
		return nil, err
	}
	defer session.Close() //nolint:errcheck // it is over
	if err := control.Send(question); err != nil {
		return nil, err
	}
	answer, err = control.Receive(ctx)
	if err != nil {
		return nil, err
	}
	if refusal, is := answer.(*Refusal); is {
		return nil, refusal
	}
	return answer, nil
}

func openControl(ctx context.Context, session *yamux.Session, secret Secret) (*Control, error) {
	stream, err := OpenStream(ctx, session, StreamHeader{Kind: StreamControl})
	if err != nil {
		return nil, err
	}
	control := NewControl(stream)
	if len(secret) > 0 {
		if err := secret.Present(ctx, control); err != nil {
			return nil, err
		}
	}
	return control, nil
}
