// Package protocoltest is the side of the native protocol that is connected to, for tests that say themselves what it
// answers.
package protocoltest

import (
	"context"
	"errors"
	"net"

	"github.com/hashicorp/yamux"

	"github.com/zrsd/zrsd/protocol"
)

// Accept takes a connection up to its control stream: the next bytes there are the first message of who connected. On
// success the caller closes the session, and conn with it; otherwise conn is closed.
func Accept(ctx context.Context, conn net.Conn) (session *yamux.Session, control net.Conn, err error) {
	if _, err := protocol.ServerPreface(ctx, conn); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	if err := protocol.AcceptPreface(ctx, conn); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	if session, err = protocol.ServerSession(conn, protocol.SessionOptions{}); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	if control, _, err = protocol.AcceptStream(ctx, session); err != nil {
		return nil, nil, errors.Join(err, session.Close())
	}
	return session, control, nil
}
