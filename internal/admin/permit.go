package admin

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// commandHeader has to be in a request that changes something, with the name of the command. No web page in an
// operator's browser can send it: browsers ask the server first whether they may, and it does not answer that.
const commandHeader = "Zrsd-Command"

// connKey is the key of a request's connection in its context.
type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

const untrusted = "changes are not allowed over this connection: run the command on the machine itself, with an " +
	"--admin address that is a Unix socket or on 127.0.0.1, or with a client certificate that the admin server " +
	"verifies (--admin-tls-ca on its side)"

// permit refuses a request for something that is changed, unless it is surely an operator's: nil when it may be done.
func permit(r *http.Request, command string) *Refusal {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	switch {
	case conn == nil || !trusted(conn):
		return &Refusal{NotAllowed, untrusted}
	case r.Header.Get(commandHeader) != command:
		return &Refusal{NotAllowed, "use zrsd " + command + ", or send the header " + commandHeader + ": " + command}
	case r.Header.Get("Origin") != "": // as of a page whose host name was made to mean this address
		return &Refusal{NotAllowed, "web pages may not change anything: use zrsd " + command}
	}
	return nil
}

// trusted reports whether who is at the other end has this machine's trust: by being on it, or by a certificate.
func trusted(conn net.Conn) bool {
	switch a := conn.RemoteAddr().(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		if a.IP.IsLoopback() {
			return true
		}
	}
	if c, ok := conn.(*counted); ok {
		conn = c.Conn
	}
	secured, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok && len(secured.ConnectionState().VerifiedChains) > 0
}
