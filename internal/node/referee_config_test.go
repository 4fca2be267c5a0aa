package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/trust"
)

func TestARefereeThatMakesNoSenseIsRefused(t *testing.T) {
	to := socket(t, "/tmp/x/to")
	for name, c := range map[string]struct {
		to      endpoint.Endpoint
		referee RefereeConfig
		want    string // "": it is accepted
	}{
		"one":                 {to, RefereeConfig{Address: "etcd://127.0.0.1:2379"}, ""},
		"several":             {to, RefereeConfig{Address: "etcd://localhost:2379,127.0.0.1:2479"}, ""},
		"elsewhere, with TLS": {to, RefereeConfig{Address: "etcd://e1:2379", TLS: &trust.Files{Authority: "ca"}}, ""},
		"elsewhere":           {to, RefereeConfig{Address: "etcd://127.0.0.1:1,e1:2379"}, "e1:2379 is another machine"},
		"of another kind":     {to, RefereeConfig{Address: "consul://127.0.0.1:1"}, "no such kind"},
		"without a port":      {to, RefereeConfig{Address: "etcd://127.0.0.1"}, "host:port"},
		"a socket":            {to, RefereeConfig{Address: "etcd:///run/etcd"}, "no HOST:PORT"},
		"with a short TTL":    {to, RefereeConfig{Address: "etcd://127.0.0.1:1", TTL: time.Second}, "--referee-ttl"},
		"where none can follow": {endpoint.Endpoint{}, RefereeConfig{Address: "etcd://127.0.0.1:1"},
			"--replicate-to"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newSite(t, nil).config()
			cfg.ReplicateTo, cfg.Referee = c.to, &c.referee
			err := cfg.check()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTheUserOfTheRefereeIsInAFile(t *testing.T) {
	for content, want := range map[string][2]string{
		"zrsd:secret\n": {"zrsd", "secret"},
		"zrsd:a:b":      {"zrsd", "a:b"},
		"zrsd:":         {"zrsd", ""},
		"zrsd\n":        {},
		":secret\n":     {},
		"":              {},

		strings.Repeat("a:", maxUserFile): {},
	} {
		name := filepath.Join(t.TempDir(), "user")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		user, password, err := readUser(name)
		if user != want[0] || password != want[1] || (err == nil) != (want[0] != "") {
			t.Errorf("%.20q is read as %q and %q, %v", content, user, password, err)
		}
	}
	if _, err := (&RefereeConfig{Address: "etcd://127.0.0.1:1", UserFile: "/no/such"}).Open("id"); err == nil {
		t.Error("a file that is missing is accepted")
	}
}
