package tlsauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// recordHandshake is the first byte of a TLS connection: the type of the record that has the client's hello.
const recordHandshake = 0x16

// Bounds for what is still read from a peer after its handshake has failed.
const (
	drainTime  = 2 * time.Second
	drainBytes = 1 << 20
)

// A conn is one side of a TLS connection that puts errors into words.
type conn struct {
	*tls.Conn
	raw  net.Conn
	open func() error // makes the handshake, once
}

// Client makes the handshake of the connecting side on raw, until ctx ends. Host is the name that the peer's
// certificate must have unless names of peers are set; empty for a Unix socket. After an error raw is still the
// caller's to close.
func (c *Credentials) Client(ctx context.Context, raw net.Conn, host string) (net.Conn, error) {
	inner := tls.Client(raw, c.current.Load().client(host))
	if err := inner.HandshakeContext(ctx); err != nil {
		return nil, inWords(handshakeError(ctx, hungUp(err)))
	}
	return &conn{inner, raw, func() error { return nil }}, nil
}

// Dial connects and makes the handshake. Nil credentials mean plain text.
func (c *Credentials) Dial(ctx context.Context, dial func(context.Context) (net.Conn, error), host string) (net.Conn,
	error) {
	raw, err := dial(ctx)
	if err != nil || c == nil {
		return raw, err
	}
	conn, err := c.Client(ctx, raw, host)
	if err != nil {
		_ = raw.Close() // it is closed
		return nil, fmt.Errorf("TLS with %v: %w", raw.RemoteAddr(), err)
	}
	return conn, nil
}

// handshakeError prefers the reason for which the context ended.
func handshakeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Listen returns a listener whose connections speak TLS. Accept only accepts; the first Read or Write on a connection
// makes the handshake, within its deadlines. Plain, where it is not nil, may answer a peer that speaks no TLS, on a
// connection on which nothing has been read and which it does not close; the Read fails with ErrPlainText then.
func (c *Credentials) Listen(ln net.Listener, plain func(net.Conn)) net.Listener {
	return &listener{ln, c, plain}
}

type listener struct {
	net.Listener
	credentials *Credentials
	plain       func(net.Conn)
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return serve(raw, l.credentials, l.plain), nil
}

// serve is the accepting side on raw.
func serve(raw net.Conn, credentials *Credentials, plain func(net.Conn)) *conn {
	front := &replay{Conn: raw}
	inner := tls.Server(front, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return credentials.current.Load().server(), nil
		},
	})
	return &conn{inner, raw, sync.OnceValue(func() error {
		if err := front.peek(); err != nil {
			return err
		}
		err := ErrPlainText
		if front.first[0] == recordHandshake {
			err = inner.HandshakeContext(context.Background()) // it ends with the deadlines of the connection
		} else if plain != nil {
			plain(front)
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // who was too slow has no last words coming
			drain(raw)
		}
		return inWords(err)
	})}
}

// Read makes the handshake first, if that is still to be done.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	return n, inWords(err)
}

// Write makes the handshake first, if that is still to be done.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	return n, inWords(err)
}

// NetConn returns the connection underneath, for the settings of its socket.
func (c *conn) NetConn() net.Conn { return c.raw }

// A replay is a connection whose first byte was looked at and is read again.
type replay struct {
	net.Conn
	buf   [1]byte
	first []byte
}

func (r *replay) peek() error {
	_, err := io.ReadFull(r.Conn, r.buf[:])
	r.first = r.buf[:]
	return err
}

func (r *replay) Read(b []byte) (int, error) {
	if n := copy(b, r.first); n > 0 {
		r.first = r.first[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// drain reads what the peer still sends until it has received our last message and closes: closing with unread data
// would destroy that message.
func drain(raw net.Conn) {
	if half, ok := raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return
	}
	if raw.SetReadDeadline(time.Now().Add(drainTime)) == nil {
		_, _ = io.CopyN(io.Discard, raw, drainBytes) // returns when the peer closes or time is up: the same to us
	}
}
