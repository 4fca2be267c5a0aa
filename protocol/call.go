package protocol

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

// Call begins a session on conn and returns its control stream, on which the secret, if there is one, has been proved.
// The next message is the caller's: a Hello, or a
// question. On success the caller closes the session, and conn with it;
// otherwise conn is closed. The errors are those of ClientPreface, ClientSession, OpenStream and Secret.Present.
func Call(ctx context.Context, conn net.Conn, secret Secret, opt SessionOptions) (*yamux.Session, *Control, error) {
	begun := time.Now()
	if err := ClientPreface(ctx, conn); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	if opt.RoundTrip == 0 {
		opt.RoundTrip = time.Since(begun)
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

// Ask sends one message on a session of its own, and returns the answer. A Refusal is an error. A node of an older
// version is asked once more, in that version.
func Ask(ctx context.Context, dial Dialer, secret Secret, question any, opt SessionOptions) (any, error) {
	return InVersions(func(version int) (any, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return ask(ctx, conn, secret, version, question, opt)
	})
}

// A Dialer connects to a node.
type Dialer func(ctx context.Context) (net.Conn, error)

// ask closes conn.
func ask(ctx context.Context, conn net.Conn, secret Secret, version int, question any, opt SessionOptions) (
	answer any, err error) {
	session, control, err := Call(ctx, conn, secret, opt)
	if err != nil {
		return nil, err
	}
	defer session.Close() //nolint:errcheck // it is over
	control.Speak(version)
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

// InVersions calls try, which connects and speaks a version of the messages first, with MessageVersion, and once more
// with OldestVersion where the peer has refused because it knows only that. A peer that does not take that either is
// of a newer version, or none of ours, and has said so to the first.
func InVersions[T any](try func(version int) (T, error)) (T, error) {
	got, err := try(MessageVersion)
	if !refusesVersion(err) {
		return got, err
	}
	older, olderErr := try(OldestVersion)
	if refusesVersion(olderErr) {
		return got, err
	}
	return older, olderErr
}

// refusesVersion reports whether an error is the refusal of a peer that does not know the version of a message, or the
// message itself.
func refusesVersion(err error) bool {
	var refusal *Refusal
	return errors.As(err, &refusal) && (refusal.Code == CodeProtocol || refusal.Code == CodeUnknownMessage)
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
