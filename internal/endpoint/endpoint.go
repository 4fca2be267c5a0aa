package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ErrInUse says that another process listens on an address already.
var ErrInUse = errors.New("address is in use by another process")

// maxSocketPath is what fits into a socket address on the systems that we run on, without the closing zero.
const maxSocketPath = 103

// An Endpoint is a place to listen at or to connect to. Make one with Parse.
type Endpoint struct {
	network string // "tcp" or "unix"
	addr    string
}

// Parse reads one address in the forms of the package comment.
func Parse(s string) (Endpoint, error) {
	if strings.Contains(s, "/") {
		if len(s) > maxSocketPath {
			return Endpoint{}, fmt.Errorf("address %q: a socket's path has at most %d bytes: use a shorter one", s,
				maxSocketPath)
		}
		return Endpoint{"unix", s}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Endpoint{}, fmt.Errorf("address %q: write host:port, :port or a path with a slash", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return Endpoint{}, fmt.Errorf("address %q: write the port as a number between 0 and 65535", s)
	}
	if host == "*" { // as Python's servers take it
		s = ":" + port
	}
	return Endpoint{"tcp", s}, nil
}

// ParseList reads one or more addresses with commas between them.
func ParseList(s string) ([]Endpoint, error) {
	var list []Endpoint
	for part := range strings.SplitSeq(s, ",") {
		e, err := Parse(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// Network returns "tcp" or "unix".
func (e Endpoint) Network() string { return e.network }

// String returns the address as it was given; *:P is :P.
func (e Endpoint) String() string { return e.addr }

// IsZero reports whether e is no address at all.
func (e Endpoint) IsZero() bool { return e == Endpoint{} }

// Local reports whether only processes of this machine can reach e: a Unix socket, localhost, or a loopback IP. Other
// names count as remote, whatever they resolve to today.
func (e Endpoint) Local() bool {
	if e.network == "unix" {
		return true
	}
	host := e.Host()
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// Host returns the host of a TCP address as it was given, without brackets, and nothing for a Unix socket.
func (e Endpoint) Host() string {
	if e.network == "unix" {
		return ""
	}
	host, _, err := net.SplitHostPort(e.addr)
	if err != nil {
		return ""
	}
	return host
}

// Dial connects, until ctx ends.
func (e Endpoint) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, e.network, e.addr)
	if err != nil {
		return nil, fmt.Errorf("connecting to %v: %w", e, err)
	}
	return conn, nil
}

// family returns the network to listen on. An address that is written as a number is of its own family only, as runzeo
// takes it: 0.0.0.0 is not reached by IPv6, nor :: by IPv4. Without a host it is both.
func (e Endpoint) family() string {
	switch ip := net.ParseIP(e.Host()); {
	case e.network != "tcp" || ip == nil:
		return e.network
	case strings.Contains(e.Host(), ":"):
		return "tcp6"
	}
	return "tcp4"
}

// Listen begins to listen. Closing the listener removes the socket of a Unix endpoint. The error wraps ErrInUse when
// another process listens there already.
func (e Endpoint) Listen(ctx context.Context) (net.Listener, error) {
	if e.network == "unix" {
		if err := removeStale(ctx, e); err != nil {
			return nil, fmt.Errorf("listening on %v: %w", e, err)
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, e.family(), e.addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listening on %v: %w", e, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %v: %w", e, err)
	}
	return ln, nil
}

// removeStale removes a socket that nobody listens on any more.
func removeStale(ctx context.Context, e Endpoint) error {
	info, err := os.Lstat(e.addr)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("a file of this name exists and is no socket: choose another path")
	}
	conn, err := e.Dial(ctx)
	if err == nil {
		return errors.Join(ErrInUse, conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("finding out whether the socket is in use: %w", err)
	}
	return os.Remove(e.addr)
}
