package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// ownHost is what zrsd's own commands say they ask. No page of a browser comes from a name without a dot that nobody
// can register.
const ownHost = "zrsd"

// hosts are the names under which the server answers. Otherwise a web page whose own host name an attacker resolves to
// this address could read everything here through the browser of a user who may connect.
type hosts []string

// hostsOf returns the names of this machine and those that were configured.
func hostsOf(names []string) hosts {
	h := hosts{"localhost", ownHost}
	if name, err := os.Hostname(); err == nil { // without one there are only the others
		short, _, _ := strings.Cut(name, ".")
		h = append(h, plainHost(name), plainHost(short))
	}
	for _, name := range names {
		h = append(h, plainHost(name))
	}
	return h
}

// plainHost returns a name as it is compared.
func plainHost(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// means reports whether the Host of a request means this server. Browsers always send one; it may be missing. An IP
// address is no name that somebody could make mean another.
func (h hosts) means(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "" {
		return true
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return slices.Contains(h, plainHost(host))
}

// check answers requests for other hosts with a refusal, and has next answer the rest. Over a Unix socket no browser
// comes.
func (h hosts) check(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		if conn != nil && conn.RemoteAddr().Network() == "unix" || h.means(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		writeText(w, http.StatusForbidden, fmt.Sprintf("this server does not answer under the name %.100q: use an IP "+
			"address, localhost or the machine's host name, or give it the name with --admin-names (names in <admin>)",
			r.Host))
	})
}
