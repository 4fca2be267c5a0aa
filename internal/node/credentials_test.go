package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/tlsauth/tlsauthtest"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// pair runs a primary with one transaction and a secondary of it, each with a change to its configuration.
func pair(t *testing.T, change func(primary, secondary *Config)) (first, second *running) {
	t.Helper()
	a, b := newSite(t, nodetest.DiskWith(t, 1)), newSite(t, simdisk.New())
	p, s := PrimaryConfig{Config: a.config()}, b.secondaryConfig(a)
	change(&p.Config, &s.Config)
	return a.run(t, func(ctx context.Context) error { return runPrimary(ctx, p) }),
		b.run(t, func(ctx context.Context) error { return runSecondary(ctx, s) })
}

func secretFile(t *testing.T, secret string) string {
	t.Helper()
	if secret == "" {
		return ""
	}
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBothSidesMustHaveTheSecret(t *testing.T) {
	const one, other = "this is the one secret", "this is another secret"
	for name, c := range map[string]struct{ primary, secondary, want string }{
		"the same":              {one, one, ""},
		"none":                  {"", "", ""},
		"a wrong one":           {one, other, "give both the same --secret-file"},
		"only on the primary":   {one, "", "start the secondary with --secret-file"},
		"only on the secondary": {"", one, "give the primary the same --secret-file"},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := pair(t, func(p, s *Config) {
				p.SecretFile, s.SecretFile = secretFile(t, c.primary), secretFile(t, c.secondary)
			})
			if c.want == "" {
				second.Await(t, "it has everything", func(st *admin.Status) bool {
					return st.Ready && st.Storage.LastTid != nil
				})
				return
			}
			st := second.Await(t, "it is refused", func(st *admin.Status) bool {
				return st.Upstream.State == "refused"
			})
			if !strings.Contains(*st.Upstream.LastError, c.want) || st.Storage.LastTid != nil {
				t.Errorf("got %+v", st.Upstream)
			}
			first.Await(t, "it is counted", func(st *admin.Status) bool {
				return st.Totals.Refusals["not_authorised"] > 0
			})
		})
	}
}

func TestWhatCannotBeReadOfCertificatesAndSecretsEndsTheNode(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no secret file":       func(c *Config) { c.SecretFile = "nowhere" },
		"short secret":         func(c *Config) { c.SecretFile = secretFile(t, "short") },
		"no certificate":       func(c *Config) { c.TLS = &tlsauth.Files{Certificate: "no", Authority: "no"} },
		"no admin certificate": func(c *Config) { c.AdminTLS = &tlsauth.Files{Certificate: "nowhere"} },
	} {
		t.Run(name, func(t *testing.T) {
			c := newSite(t, nodetest.DiskWith(t, 1)).config()
			change(&c)
			fails[*StartError](t, runPrimary(t.Context(), PrimaryConfig{Config: c}))
		})
	}
}

// A writer commits to a storage that a primary is attached to.
type writer struct {
	st *filestorage.Storage
	n  int
}

func (w *writer) commit(t *testing.T) zodb.Tid {
	t.Helper()
	txn, err := w.st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	w.n++
	serial, _ := w.st.GetTid(1)
	if err := txn.Store(1, serial, fmt.Appendf(nil, "state %d", w.n)); err != nil {
		t.Fatal(err)
	}
	tid, err := txn.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func TestAReloadInterruptsNoStream(t *testing.T) {
	dir := t.TempDir()
	ca := tlsauthtest.NewAuthority(t, dir, "ca")
	db1, db2 := ca.Issue(t, "db1"), ca.Issue(t, "db2")
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	w := &writer{st: st}
	w.commit(t)

	a, b := newSite(t, vfs.OS{}), newSite(t, simdisk.New())
	p, s := PrimaryConfig{Config: a.config(), Attach: true}, b.secondaryConfig(a)
	p.Data, p.Reloads = filepath.Join(dir, "Data.fs"), new(Reloads)
	p.TLS, p.AdminTLS, s.TLS = &db1, &tlsauth.Files{Certificate: db1.Certificate, Key: db1.Key}, &db2
	p.Admin = nodetest.Socket(t, filepath.Join(t.TempDir(), "encrypted"))
	a.run(t, func(ctx context.Context) error { return runPrimary(ctx, p) })
	second := b.run(t, func(ctx context.Context) error { return runSecondary(ctx, s) })
	has := func(tid zodb.Tid) func(*admin.Status) bool {
		return func(st *admin.Status) bool { return st.Storage.LastTid != nil && *st.Storage.LastTid == tid }
	}
	before := second.Await(t, "it follows", has(w.commit(t)))

	ca.Issue(t, "db1", func(c *x509.Certificate) { c.DNSNames = []string{"db1-renewed"} })
	if n := p.Reloads.Reload(); n != 2 {
		t.Errorf("%d sets of certificates were read again, want 2", n)
	}
	after := second.Await(t, "it still follows", has(w.commit(t)))
	if after.Totals.Reconnects != before.Totals.Reconnects {
		t.Error("it had to connect again")
	}
	for name, want := range map[string]bool{"db1-renewed": true, "db9": false} {
		client, err := tlsauth.Load(tlsauth.Files{Authority: ca.File, Peers: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = admin.Fetch(t.Context(), func(ctx context.Context) (net.Conn, error) {
			return client.Dial(ctx, p.Admin.Dial, "")
		}, "")
		if (err == nil) != want {
			t.Errorf("a new connection that wants %s: %v", name, err)
		}
	}
	if err := os.WriteFile(db1.Key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.Reloads.Reload()
	second.Await(t, "a reload that fails changes nothing", has(w.commit(t)))
}

func TestASlowHandshakeIsCutAndDisturbsNobody(t *testing.T) {
	ca := tlsauthtest.NewAuthority(t, t.TempDir(), "ca")
	db1, db2 := ca.Issue(t, "db1"), ca.Issue(t, "db2")
	first, second := pair(t, func(p, s *Config) {
		p.TLS, s.TLS, p.HandshakeTimeout = &db1, &db2, 200*time.Millisecond
		p.Heartbeat = time.Second // three may be missing, on a slow machine, too
	})
	before := second.Await(t, "it follows", nodetest.Ready)
	for _, said := range []string{"", "\x16", "\x16\x03\x01\x02\x00\x01\x00", "\x00\x00"} {
		conn, err := first.to.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, said); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %q: %v", said, err)
		}
	}
	after := second.Await(t, "it still follows", nodetest.Ready)
	if after.Totals.Reconnects != before.Totals.Reconnects {
		t.Errorf("%d reconnects", after.Totals.Reconnects-before.Totals.Reconnects)
	}
}
