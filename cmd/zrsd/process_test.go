package main

import (
	"os"
	"reflect"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/node"
)

// everyKey sets every key of <zrs> to something that is not its default.
const everyKey = `<zrs main>
  replicate-to 127.0.0.1:5000
  replicate-from 127.0.0.1:5001, 127.0.0.1:5002
  advertise db1:5000
  name db1
  sync-secondaries 1 of db2, db3
  sync-ack applied
  sync-timeout 3s degrade
  keep-alive-delay 61
  protocol native
  blobs shared
  secret-file secret
  coordinator etcd://127.0.0.1:2379
  coordinator-prefix /p
  coordinator-ttl 11s
  coordinator-authority e.pem
  coordinator-certificate ec.pem
  coordinator-key ek.pem
  coordinator-user-file user
  insecure-plain-text on
  heartbeat 7s
  seed-rate 10MB
  seed-from 127.0.0.1:5009
  reseed auto
  seed-archive file:///archive
  archive s3://backup/app
  archive-rate 1MB
  archive-recipients age1 age2
  max-diffs 1GB
  expect-data true
  seed-compress true
  spare true
  apply-delay 4h
  max-secondaries 3
  max-per-address 4
  handshake-timeout 31s
  idle-timeout 62s
  drain-timeout 63s
  ready-lag 64s
  max-record 5MB
  <zlibstorage>
    <filestorage>
      path Data.fs
      blob-dir blobs
      pack-gc off
      pack-keep-old off
      pack-schedule @weekly
      pack-days 7
    </filestorage>
  </zlibstorage>
  <tls>
    certificate c.pem
    key k.pem
    password-file p
    authority ca.pem
    peer-names a b
  </tls>
</zrs>
<zeo>
  address 127.0.0.1:8100
</zeo>
<as-of old>
  at yesterday
</as-of>
<admin>
  address 127.0.0.1:5003
  insecure-plain-text on
  names db1.example db1
  <tls>
    certificate a.pem
  </tls>
</admin>
`

// TestEveryKeyOfAFileReachesTheNode: a field of the node's configuration that stays zero is one that the file cannot
// set, or a key that was accepted and ignored.
func TestEveryKeyOfAFileReachesTheNode(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("zeo.conf", []byte(everyKey), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load("zeo.conf")
	if err != nil {
		t.Fatal(err)
	}
	p := process(cfg, hclog.NewNullLogger(), new(node.Reloads))
	second := p.Storages[0].Secondary
	if second == nil || p.Storages[0].Name != "main" {
		t.Fatalf("the storage became %+v", p.Storages[0])
	}
	// These are the process's own, which Serve gives to each storage, or have no key.
	second.FS, second.Logger, second.Reloads = p.Shared.FS, hclog.NewNullLogger(), p.Shared.Reloads
	without := map[string]bool{
		"AdminBeside":   true, // always
		"FS":            true,
		"Admin":         true,
		"AdminTLS":      true,
		"AdminNames":    true,
		"MaxFrame":      true,
		"Config":        true,
		"read":          true,
		"zeo":           true,
		"clients":       true,
		"clientStats":   true,
		"Opened":        true, // tests
		"offer":         true,
		"onePack":       true,
		"zeoName":       true,
		"delay":         true,
		"handle":        true,
		"verifiable":    true,
		"verifier":      true,
		"archiver":      true,
		"healer":        true,
		"onlyRead":      true,
		"onlyMoments":   true,
		"views":         true,
		"front":         true,
		"board":         true,
		"leaving":       true,
		"resized":       true,
		"setAccess":     true,
		"NewIdentity":   true,
		"AsItWas":       true, // for one start, by flags
		"SeedCopy":      true, // of zrsd seed
		"seedEnds":      true, // likewise
		"archiveFailed": true,
		"packSchedule":  true, // of PackSchedule, when it is checked
		"adminAt":       true,
	}
	for _, v := range []reflect.Value{reflect.ValueOf(second.Config), reflect.ValueOf(*second)} {
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Field(i).IsZero() && !without[name] {
				t.Errorf("no key of the file sets %s", name)
			}
		}
	}
	for i, r := 0, reflect.ValueOf(*second.Coordinator); i < r.NumField(); i++ {
		if field := r.Type().Field(i); r.Field(i).IsZero() && field.IsExported() && field.Name != "Client" {
			t.Errorf("no key of the file sets %s of the coordinator", field.Name)
		}
	}
	if tls := second.Coordinator.TLS; tls.Authority == "" || tls.Certificate == "" || tls.Key == "" {
		t.Errorf("the coordinator has %+v", tls)
	}
	if len(second.ReplicateFrom) != 2 || second.TLS.Peers[1] != "b" || second.TLS.PasswordFile != "p" {
		t.Errorf("got %+v, %+v", second, second.TLS)
	}
	if p.Shared.Admin.String() != "127.0.0.1:5003" || p.Shared.AdminTLS.Certificate != "a.pem" ||
		!p.Shared.InsecurePlainText || len(p.Shared.AdminNames) != 2 {
		t.Errorf("the admin server became %+v", p.Shared)
	}
}
