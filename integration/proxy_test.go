package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A link is a network between two processes that can be made bad while they use it.
type link struct {
	addr  string // where the near side connects to
	proxy *toxiproxy.Proxy
}

// The directions of a link, seen from the secondary, which is the one that connects.
const (
	towardsPrimary   = "upstream"
	towardsSecondary = "downstream"
)

// newLink puts a good network in front of the address upstream.
func newLink(t *testing.T, upstream string) *link {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return &link{addr: proxy.Listen, proxy: proxy}
}

// spoil adds a toxic of the kind to one direction, for connections that exist and for new ones.
func (l *link) spoil(t *testing.T, kind, direction string, attributes map[string]any) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"name": kind + direction, "type": kind, "stream": direction, "attributes": attributes,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
		t.Fatal(err)
	}
}

// heal removes every toxic. Connections that were cut stay cut.
func (l *link) heal(t *testing.T) {
	t.Helper()
	l.proxy.Toxics.ResetToxics(t.Context())
}
