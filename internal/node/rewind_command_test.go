package node

import (
	"testing"

	"github.com/zrsd/zrsd/internal/tlsauth"
)

func TestTheCommandForARewindIsComplete(t *testing.T) {
	c := &Config{
		Data: "/srv/my site/Data.fs", Blobs: "/srv/blobs", SecretFile: "/etc/zrsd/secret",
		TLS: &tlsauth.Files{Certificate: "/etc/zrsd/cert.pem", Authority: "/etc/zrsd/ca.pem", Peers: []string{"db2"}},
	}
	want := "zrsd rewind --data '/srv/my site/Data.fs' --blobs /srv/blobs --primary db2:5000 --secret-file " +
		"/etc/zrsd/secret" +
		" --tls-cert /etc/zrsd/cert.pem --tls-ca /etc/zrsd/ca.pem --tls-peer db2"
	if got := c.rewindCommand("db2:5000"); got != want {
		t.Errorf("got %s", got)
	}
	if got := quoted("it's"); got != `'it'\''s'` {
		t.Errorf("quoted as %s", got)
	}
}
