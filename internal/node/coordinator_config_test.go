package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/tlsauth"
)

func TestACoordinatorThatMakesNoSenseIsRefused(t *testing.T) {
	to := nodetest.Socket(t, "/tmp/x/to")
	for name, c := range map[string]struct {
		to          endpoint.Endpoint
		coordinator CoordinatorConfig
		want        string // "": it is accepted
	}{
		"one":     {to, CoordinatorConfig{Address: "etcd://127.0.0.1:2379"}, ""},
		"several": {to, CoordinatorConfig{Address: "etcd://localhost:2379,127.0.0.1:2479"}, ""},
		"elsewhere, with TLS": {
			to, CoordinatorConfig{Address: "etcd://e1:2379", TLS: &tlsauth.Files{Authority: "ca"}}, "",
		},
		"elsewhere": {
			to, CoordinatorConfig{Address: "etcd://127.0.0.1:1,e1:2379"}, "e1:2379 is another machine",
		},
		"of another kind": {to, CoordinatorConfig{Address: "consul://127.0.0.1:1"}, "no such kind"},
		"without a port":  {to, CoordinatorConfig{Address: "etcd://127.0.0.1"}, "host:port"},
		"a socket":        {to, CoordinatorConfig{Address: "etcd:///run/etcd"}, "no HOST:PORT"},
		"with a short TTL": {
			to, CoordinatorConfig{Address: "etcd://127.0.0.1:1", TTL: time.Second}, "--coordinator-ttl",
		},
		"where none can follow": {endpoint.Endpoint{}, CoordinatorConfig{Address: "etcd://127.0.0.1:1"},
			"--replicate-to"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newSite(t, nil).config()
			cfg.ReplicateTo, cfg.Coordinator = c.to, &c.coordinator
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

func TestTheUserOfTheCoordinatorIsInAFile(t *testing.T) {
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
	if _, err := (&CoordinatorConfig{Address: "etcd://127.0.0.1:1", UserFile: "/no/such"}).Open("id"); err == nil {
		t.Error("a file that is missing is accepted")
	}
}
