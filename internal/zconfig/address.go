package zconfig

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An Address is what ZConfig's socket-address types read. Either Path is set, or it is an internet address.
type Address struct {
	Path    string // of a Unix socket: what contains a slash
	Host    string // lower case, without brackets; "" where none is given
	Port    int
	HasPort bool
}

// ParseAddress reads host:port, [host]:port, :port, a port alone, a host alone, or a path. White space before the port
// is fine, and so are IPv6 addresses without brackets and port.
func ParseAddress(s string) (Address, error) {
	if strings.Contains(s, "/") {
		return Address{Path: s}, nil
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		if port, err := parsePort(s); err == nil {
			return Address{Port: port, HasPort: true}, nil
		}
		if len(strings.FieldsFunc(s, isSpace)) != 1 {
			return Address{}, fmt.Errorf("%q is no address: write host:port, :port, a port, or a path with a slash", s)
		}
		return Address{Host: strings.ToLower(s)}, nil
	}
	host, port := s[:colon], s[colon+1:]
	switch {
	case strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"):
		host = host[1 : len(host)-1]
	case strings.Contains(host, ":"):
		return Address{Host: strings.ToLower(s)}, nil
	}
	a := Address{Host: strings.ToLower(host)}
	if port == "" {
		return a, nil
	}
	var err error
	a.Port, err = parsePort(port)
	a.HasPort = err == nil
	return a, err
}

func parsePort(s string) (int, error) {
	n, err := Int(s)
	if err != nil || n < 0 || n > 0xffff {
		return 0, fmt.Errorf("%q is not a port: write a number between 0 and 65535", s)
	}
	return int(n), nil
}

// String returns the address as package endpoint takes it, if it has a port.
func (a Address) String() string {
	switch {
	case a.Path != "":
		return a.Path
	case !a.HasPort:
		return a.Host
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}
