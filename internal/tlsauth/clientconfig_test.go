package tlsauth_test

import (
	"crypto/tls"
	"testing"

	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/tlsauth/tlsauthtest"
)

// A library that makes its connections by itself checks the server, by its host and authority, and shows this side's
// certificate to a server that asks for one.
func TestAClientConfigurationChecksAndIsChecked(t *testing.T) {
	ca, other := tlsauthtest.NewAuthority(t, t.TempDir(), "ca"), tlsauthtest.NewAuthority(t, t.TempDir(), "other")
	server := load(t, ca.Issue(t, "localhost"))
	own := ca.Issue(t, "node")
	nameless := own
	nameless.Certificate, nameless.Key = "", ""
	for name, c := range map[string]struct {
		files tlsauth.Files
		host  string
		good  bool
	}{
		"as it should be":       {own, "localhost", true},
		"another host":          {own, "elsewhere", false},
		"another authority":     {other.Issue(t, "node"), "localhost", false},
		"without a certificate": {nameless, "localhost", false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := load(t, c.files).ClientConfig()
			cfg.ServerName = c.host
			near, far := pair(t)
			served := make(chan error, 1)
			go func() {
				conn := accept(t, server, far, nil)
				defer conn.Close()
				served <- exchange(conn, "server", "client")
			}()
			conn := tls.Client(near, cfg)
			err := exchange(conn, "client", "server")
			_ = near.Close()
			if bad := <-served; (err == nil && bad == nil) != c.good {
				t.Errorf("the client got on with %v, the server with %v", err, bad)
			}
		})
	}
}
