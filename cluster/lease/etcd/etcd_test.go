package etcd_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/etcd"
)

// An etcd that was away has all that it had, and leases that were held still are: whoever held one can renew.
func TestALeaseOutlivesItsServers(t *testing.T) {
	s := startServer(t, nil)
	r := open(t, at(s.Address))
	c := claim("a", 3, time.Hour)
	held, err := r.Acquire(t.Context(), lease.Record{}, c)
	must(t, err)
	must(t, r.Publish(t.Context(), memberStatus("a"), time.Hour))

	s.Stop()
	gone, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := held.Renew(gone, c); err == nil || errors.Is(err, lease.ErrLost) {
		t.Fatalf("renewing without a server: %v", err)
	}
	must(t, s.Start(t.Context()))
	eventually(t, func() error { return held.Renew(t.Context(), c) })
	v, err := r.Read(t.Context(), 0)
	must(t, err)
	if v.Record != c.Record || v.Holder == nil || len(v.Members) != 1 {
		t.Errorf("after the restart the view is %+v", v)
	}
}

// eventually tries until there is no error, or one that is final.
func eventually(t *testing.T, do func() error) {
	t.Helper()
	err := do()
	for err != nil && !errors.Is(err, lease.ErrLost) && t.Context().Err() == nil {
		err = do()
	}
	must(t, err)
}

// A request that is not answered ends with its context, and says nothing about the lease; which runs out when its
// holder is cut off, so that another gets it.
func TestAHolderThatIsCutOffLosesTheLease(t *testing.T) {
	s := startServer(t, nil)
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		"etcd", "127.0.0.1:0", s.Address)
	must(t, proxy.Start())
	defer proxy.Stop()
	a, b := open(t, at(proxy.Listen)), open(t, at(s.Address))
	held, err := a.Acquire(t.Context(), lease.Record{}, claim("a", 1, 2*time.Second))
	must(t, err)
	_, err = proxy.Toxics.AddToxicJson(
		strings.NewReader(`{"type":"timeout","stream":"downstream","attributes":{"timeout":0}}`))
	must(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := held.Renew(ctx, claim("a", 1, 2*time.Second)); err == nil || errors.Is(err, lease.ErrLost) {
		t.Errorf("an unanswered renewal: %v", err)
	}
	v, err := b.Read(t.Context(), 0)
	for err == nil && v.Holder != nil {
		v, err = b.Read(t.Context(), v.Revision)
	}
	must(t, err)
	_, err = b.Acquire(t.Context(), v.Record, claim("b", 2, time.Hour))
	must(t, err)
}

// A read that waits from a revision that is compacted away returns what there is.
func TestAReadOutlivesACompaction(t *testing.T) {
	s := startServer(t, nil)
	r := open(t, at(s.Address))
	before, err := r.Read(t.Context(), 0)
	must(t, err)
	must(t, r.Publish(t.Context(), memberStatus("a"), time.Hour))
	must(t, r.Publish(t.Context(), memberStatus("a"), time.Hour))
	now, err := r.Read(t.Context(), 0)
	must(t, err)
	_, err = raw(t, s).Compact(t.Context(), now.Revision)
	must(t, err)
	v, err := r.Read(t.Context(), before.Revision)
	must(t, err)
	if len(v.Members) != 1 {
		t.Errorf("the view is %+v", v)
	}
}

// What others do in the same etcd wakes nobody, and is not looked at.
func TestOthersAreLeftAlone(t *testing.T) {
	s := startServer(t, nil)
	r := open(t, at(s.Address))
	other := open(t, etcd.Options{Endpoints: []string{s.Address}, Prefix: "/zrsd/other"})
	before, err := r.Read(t.Context(), 0)
	must(t, err)
	must(t, other.Publish(t.Context(), memberStatus("b"), time.Hour))
	_, err = raw(t, s).Put(t.Context(), "/zrsd/"+t.Name()+"-not", "{}")
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- r.Publish(t.Context(), memberStatus("a"), time.Hour) }()
	v, err := r.Read(t.Context(), before.Revision)
	must(t, err)
	must(t, <-done)
	if len(v.Members) != 1 || v.Members[0].Node != "a" {
		t.Errorf("the view is %+v", v)
	}
}

// A value that zrsd did not write is an error that names its key.
func TestAValueOfAnotherProgramIsNamed(t *testing.T) {
	s := startServer(t, nil)
	r := open(t, at(s.Address))
	for _, key := range []string{"record", "office", "maintenance", "members/a"} {
		c := raw(t, s)
		_, err := c.Put(t.Context(), "/zrsd/"+t.Name()+"/"+key, "leader: a")
		must(t, err)
		if _, err := r.Read(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "/"+key) {
			t.Errorf("a foreign %s: %v", key, err)
		}
		_, err = c.Delete(t.Context(), "/zrsd/"+t.Name()+"/"+key)
		must(t, err)
	}
}

// With users in etcd, zrsd needs one that may read and write below its prefix, and no more.
func TestAUserIsEnough(t *testing.T) {
	s := startServer(t, nil)
	c := raw(t, s)
	prefix := "/zrsd/" + t.Name()
	allow := clientv3.PermissionType(clientv3.PermReadWrite)
	for _, step := range []func() error{
		func() error { _, err := c.RoleAdd(t.Context(), "root"); return err },
		func() error { _, err := c.UserAdd(t.Context(), "root", "secret"); return err },
		func() error { _, err := c.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := c.RoleAdd(t.Context(), "zrsd"); return err },
		func() error {
			_, err := c.RoleGrantPermission(t.Context(), "zrsd", prefix+"/", prefix+"0", allow)
			return err
		},
		func() error { _, err := c.UserAdd(t.Context(), "zrsd", "pass:word"); return err },
		func() error { _, err := c.UserGrantRole(t.Context(), "zrsd", "zrsd"); return err },
		func() error { _, err := c.AuthEnable(t.Context()); return err },
	} {
		must(t, step())
	}
	r := open(t, etcd.Options{Endpoints: []string{s.Address}, User: "zrsd", Password: "pass:word"})
	must(t, r.Publish(t.Context(), memberStatus("a"), time.Hour))
	held, err := r.Acquire(t.Context(), lease.Record{}, claim("a", 1, time.Hour))
	must(t, err)
	must(t, held.Renew(t.Context(), claim("a", 1, time.Hour)))
	v, err := r.Read(t.Context(), 0)
	must(t, err)
	if len(v.Members) != 1 || v.Holder == nil {
		t.Errorf("the view is %+v", v)
	}
	if _, err := open(t, at(s.Address)).Read(t.Context(), 0); err == nil {
		t.Error("read without a user")
	}
}

func TestEncryption(t *testing.T) {
	secure := func(cfg *embed.Config) {
		cfg.ClientAutoTLS = true
		cfg.SelfSignedCertValidity = 1
		cfg.ListenClientUrls[0].Scheme = "https"
	}
	s := startServer(t, secure)
	pem, err := os.ReadFile(filepath.Join(s.Folder, "fixtures", "client", "cert.pem"))
	must(t, err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("etcd has made no certificate")
	}
	opt := at(s.Address)
	opt.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	must(t, open(t, opt).Publish(t.Context(), memberStatus("a"), time.Hour))

	opt.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := open(t, opt).Publish(ctx, memberStatus("a"), time.Hour); err == nil {
		t.Error("published to a server that nobody vouches for")
	}
}
