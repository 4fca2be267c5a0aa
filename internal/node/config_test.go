package node

import (
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/secondary"
)

func TestAConfigurationThatMakesNoSenseIsRefusedWithAnInstruction(t *testing.T) {
	address := func(s string) endpoint.Endpoint {
		e, err := endpoint.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	good := func() SecondaryConfig {
		return SecondaryConfig{
			Config: Config{
				Data: "Data.fs", ReplicateTo: address("127.0.0.1:5000"), Admin: address("./admin"),
				Heartbeat: time.Second, MaxSecondaries: 1, DrainTimeout: time.Second,
			},
			ReplicateFrom: []endpoint.Endpoint{address("127.0.0.1:5001")}, ReadyLag: time.Second, MaxRecord: 1,
		}
	}
	for want, change := range map[string]func(*SecondaryConfig){
		"":                            func(*SecondaryConfig) {},
		"name it with --data":         func(c *SecondaryConfig) { c.Data = "" },
		"is the address of this node": func(c *SecondaryConfig) { c.ReplicateFrom[0] = c.ReplicateTo },
		"0.0.0.0:1 can be reached":    func(c *SecondaryConfig) { c.ReplicateTo = address("0.0.0.0:1") },
		":9 can be reached":           func(c *SecondaryConfig) { c.Admin = address(":9") },
		"is no schedule":              func(c *SecondaryConfig) { c.PackSchedule = "Sunday" },
		"--pack-days -1":              func(c *SecondaryConfig) { c.PackSchedule, c.PackDays = "@daily", -1 },
		"whether it packs": func(c *SecondaryConfig) {
			c.PackSchedule, c.ReplicateTo = "@daily", endpoint.Endpoint{}
		},
		"zc.zrs gives no turns": func(c *SecondaryConfig) {
			c.PackSchedule, c.Protocol = "@daily", secondary.ProtocolZrs2
		},
		"--max-secondaries 0":          func(c *SecondaryConfig) { c.MaxSecondaries = 0 },
		"db1:5 is another machine":     func(c *SecondaryConfig) { c.ReplicateFrom[0] = address("db1:5") },
		"give --tls-cert and --tls-ca": func(c *SecondaryConfig) { c.TLS = &tlsauth.Files{Certificate: "c"} },
		"give --admin-tls-cert":        func(c *SecondaryConfig) { c.AdminTLS = &tlsauth.Files{Authority: "a"} },
		"give its address with --admin": func(c *SecondaryConfig) {
			c.Admin, c.AdminTLS = endpoint.Endpoint{}, &tlsauth.Files{Certificate: "c"}
		},
		"--heartbeat -1s":                func(c *SecondaryConfig) { c.Heartbeat = -time.Second },
		"--drain-timeout 0s":             func(c *SecondaryConfig) { c.DrainTimeout = 0 },
		"--replicate-from HOST:PORT":     func(c *SecondaryConfig) { c.ReplicateFrom = nil },
		"--ready-lag 0s":                 func(c *SecondaryConfig) { c.ReadyLag = 0 },
		"--max-record -5: give a number": func(c *SecondaryConfig) { c.MaxRecord = -5 },
		"--protocol zrs3: give auto":     func(c *SecondaryConfig) { c.Protocol = "zrs3" },
		"cannot carry the shared secret": func(c *SecondaryConfig) {
			c.Protocol, c.SecretFile = secondary.ProtocolZrs2, "secret"
		},
		"a zc.zrs primary always sends blobs": func(c *SecondaryConfig) {
			c.Protocol, c.SharedBlobs, c.Blobs = secondary.ProtocolZrs2, true, "blobs"
		},
		"--keep-alive-delay -1s":         func(c *SecondaryConfig) { c.KeepAliveDelay = -time.Second },
		"mounted here, with --blobs DIR": func(c *SecondaryConfig) { c.SharedBlobs = true },
	} {
		c := good()
		change(&c)
		err := c.check()
		if (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	secret := good()
	secret.Admin, secret.SecretFile = address(":9"), "secret"
	if err := secret.check(); err == nil || !strings.Contains(err.Error(), "a shared secret does not encrypt") {
		t.Errorf("a secret instead of encryption: %v", err)
	}
	open := good()
	open.Admin, open.InsecurePlainText = address(":9"), true
	open.ReplicateFrom[0] = address("db1:5000")
	if err := open.check(); err != nil {
		t.Errorf("asked for, and still refused: %v", err)
	}
	encrypted := good()
	encrypted.Admin, encrypted.ReplicateTo, encrypted.ReplicateFrom[0] = address(":9"), address(":8"), address("db1:5")
	encrypted.TLS = &tlsauth.Files{Certificate: "c", Authority: "a"}
	encrypted.AdminTLS = &tlsauth.Files{Certificate: "c"}
	if err := encrypted.check(); err != nil {
		t.Errorf("encrypted, and still refused: %v", err)
	}
	noServer := PrimaryConfig{Config: good().Config}
	noServer.ReplicateTo = endpoint.Endpoint{}
	if err := noServer.check(); err == nil || !strings.Contains(err.Error(), "--replicate-to 127.0.0.1:5000") {
		t.Errorf("a primary that serves no secondaries: %v", err)
	}
	sharer := PrimaryConfig{Config: good().Config}
	sharer.SharedBlobs = true
	if err := sharer.check(); err == nil || !strings.Contains(err.Error(), "a setting of its secondaries") {
		t.Errorf("a primary that shares: %v", err)
	}
}

func TestASecondaryIsReadyWhenItIsKnownToBeNear(t *testing.T) {
	behind := func(s float64) secondary.Lag { return secondary.Lag{Seconds: &s} }
	for _, c := range []struct {
		status secondary.Status
		want   string
	}{
		{secondary.Status{State: secondary.StateLive, Lag: behind(0)}, ""},
		{secondary.Status{State: secondary.StateCatchingUp, Lag: behind(9)}, ""},
		{secondary.Status{State: secondary.StateWaiting, Lag: behind(10)}, ""}, // a short interruption
		{secondary.Status{State: secondary.StateWaiting, Lag: behind(11)},
			"waiting: 11 seconds behind, the limit is 10"},
		{secondary.Status{State: secondary.StateConnecting}, "connecting: not yet known how far behind"},
		{secondary.Status{State: secondary.StateRefused, Lag: behind(0), LastError: "go away"}, "refused: go away"},
		{secondary.Status{State: secondary.StateFailed, Lag: behind(0), LastError: "disk full"}, "failed: disk full"},
	} {
		got := ""
		if why := lagReason(&c.status, 10*time.Second); why != nil {
			got = *why
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.status.State, got, c.want)
		}
	}
}

func TestARuleForWaitingIsChecked(t *testing.T) {
	cfg := PrimaryConfig{Config: newSite(t, simdisk.New()).config()}
	cfg.Sync.Required = -1
	fails[*ConfigError](t, cfg.check())
	cfg = PrimaryConfig{Config: newSite(t, simdisk.New()).config(), Attach: true}
	cfg.Sync.Required = 1
	if err := cfg.check(); err == nil || !strings.Contains(err.Error(), "--attach") {
		t.Errorf("attached: %v", err)
	}
}

// The same command line serves on all nodes of a cluster.
func TestAPrimaryCanBeToldHowToFollow(t *testing.T) {
	s := newSite(t, simdisk.New())
	for protocol, want := range map[secondary.Protocol]secondary.Protocol{
		"": secondary.ProtocolNative, secondary.ProtocolNative: secondary.ProtocolNative,
		secondary.ProtocolAuto: secondary.ProtocolAuto,
	} {
		cfg := PrimaryConfig{Config: s.config(), Protocol: protocol}
		if err := cfg.check(); err != nil || cfg.following().Protocol != want {
			t.Errorf("%q: %v, follows by %s", protocol, err, cfg.following().Protocol)
		}
	}
	cfg := PrimaryConfig{Config: s.config(), Protocol: secondary.ProtocolZrs2}
	if err := cfg.check(); err == nil || !strings.Contains(err.Error(), "--protocol zrs2") {
		t.Errorf("got %v", err)
	}
}

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
	plain := &Config{Data: "Data.fs", InsecurePlainText: true}
	if got := plain.rewindCommand("db2:5000"); got != "zrsd rewind --data Data.fs --primary db2:5000 "+
		"--insecure-plain-text" {
		t.Errorf("got %s", got)
	}
	if got := quoted("it's"); got != `'it'\''s'` {
		t.Errorf("quoted as %s", got)
	}
}
