package tlsauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/tlsauth/tlsauthtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends every wait of a test; a healthy run never comes near it.
const patience = 5 * time.Minute

// pair returns both ends of a TCP connection, with a deadline, closed when the test ends.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return client, server
}

func load(t *testing.T, f tlsauth.Files) *tlsauth.Credentials {
	t.Helper()
	c, err := tlsauth.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// one is a listener that accepts one connection.
type one struct {
	net.Listener
	conn net.Conn
}

func (o one) Accept() (net.Conn, error) { return o.conn, nil }

// accept makes raw the server's side of a connection.
func accept(t *testing.T, c *tlsauth.Credentials, raw net.Conn, plain func(net.Conn)) net.Conn {
	t.Helper()
	conn, err := c.Listen(one{conn: raw}, plain).Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// A meeting is how a client and a server got on: what each has read of the other's word, or why not.
type meeting struct {
	client, server error
	seen           *x509.Certificate // the server's, as the client saw it
}

// meet lets a client connect for the host "localhost" and both sides say a word and hear the other's.
func meet(t *testing.T, client, server *tlsauth.Credentials) meeting {
	t.Helper()
	c, s := pair(t)
	served := make(chan error, 1)
	go func() {
		conn := accept(t, server, s, nil)
		defer conn.Close()
		served <- exchange(conn, "server", "client")
	}()
	var m meeting
	conn, err := client.Client(t.Context(), c, "localhost")
	if err == nil {
		m.seen = conn.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState().PeerCertificates[0]
		err = exchange(conn, "client", "server")
		_ = conn.Close()
	}
	_ = c.Close()
	m.client, m.server = err, <-served
	return m
}

// exchange says one word and expects another. The server hears first.
func exchange(conn net.Conn, says, hears string) error {
	say := func() error {
		_, err := conn.Write([]byte(says))
		return err
	}
	hear := func() error {
		b := make([]byte, len(hears))
		if _, err := io.ReadFull(conn, b); err != nil {
			return err
		}
		if string(b) != hears {
			return errors.New("heard " + string(b))
		}
		return nil
	}
	steps := []func() error{say, hear}
	if says == "server" {
		steps = []func() error{hear, say}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// ends expects an error with these words on each side; an empty text expects none.
func (m meeting) ends(t *testing.T, client, server string) {
	t.Helper()
	for side, c := range map[string]struct {
		err  error
		want string
	}{"client": {m.client, client}, "server": {m.server, server}} {
		if (c.err == nil) != (c.want == "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", side, c.err, c.want)
		}
	}
}

func TestWhoMeetsWhom(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := tlsauthtest.NewAuthority(t, dir, "ours"), tlsauthtest.NewAuthority(t, dir, "theirs")
	server, client := ours.Issue(t, "localhost"), ours.Issue(t, "db2")
	stranger := theirs.Issue(t, "stranger")
	stranger.Authority = ours.File
	strangeServer := theirs.Issue(t, "strange-server")
	strangeServer.Authority = ours.File
	named := func(f tlsauth.Files, names ...string) tlsauth.Files {
		f.Peers = names
		return f
	}
	const lookThere = "its log has the reason"
	for name, c := range map[string]struct {
		client, server         tlsauth.Files
		clientSays, serverSays string
	}{
		"both of one authority": {client, server, "", ""},
		"a client of another authority": {
			stranger, server, "does not know who signed", "of stranger was signed by an authority",
		},
		"a server of another authority": {
			client, strangeServer, "of strange-server was signed by an authority", lookThere,
		},
		"a client without a certificate": {
			tlsauth.Files{Authority: ours.File}, server, "give this node one", "didn't provide a certificate",
		},
		"a client out of date": {
			ours.Issue(t, "old", tlsauthtest.Expired), server, "renew the certificate", "of old is out of date",
		},
		"a server out of date": {
			client, ours.Issue(t, "old-server", tlsauthtest.Expired), "of old-server is out of date", lookThere,
		},
		"a client with a server's certificate": {
			ours.Issue(t, "web", tlsauthtest.ForServersOnly), server, lookThere, "extendedKeyUsage",
		},
		"a server of another name": {
			client, ours.Issue(t, "db9"), "not for the host localhost, it has db9", lookThere,
		},
		"a server of another name that is allowed": {named(client, "db7", "DB8"), ours.Issue(t, "db8"), "", ""},
		"a server of the host's name that is not allowed": {
			named(client, "db7"), server, "has localhost, and allowed here is db7", lookThere,
		},
		"a client that is allowed": {client, named(server, "db1", "db2"), "", ""},
		"a client that is not allowed": {
			client, named(server, "db1"), lookThere, "has db2, and allowed here is db1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			meet(t, load(t, c.client), load(t, c.server)).ends(t, c.clientSays, c.serverSays)
		})
	}
}

func TestSelfSignedCertificatesAreTheirOwnAuthority(t *testing.T) {
	for name, sha1 := range map[string]bool{"SHA-256": false, "SHA-1": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			a, b := tlsauthtest.SelfSigned(t, dir, "a", sha1), tlsauthtest.SelfSigned(t, dir, "b", sha1)
			other := tlsauthtest.SelfSigned(t, dir, "c", sha1)
			a.Authority, b.Authority, other.Authority = b.Certificate, a.Certificate, a.Certificate
			b.Peers, other.Peers = []string{"a"}, []string{"a"} // a common name is enough
			meet(t, load(t, b), load(t, a)).ends(t, "", "")
			meet(t, load(t, other), load(t, a)).ends(t, "the peer refuses this", "the peer's certificate of c")
		})
	}
}

func TestAServerWithoutAuthoritiesAsksForNothing(t *testing.T) {
	ca := tlsauthtest.NewAuthority(t, t.TempDir(), "ca")
	server := ca.Issue(t, "localhost")
	server.Authority = ""
	meet(t, load(t, tlsauth.Files{Authority: ca.File}), load(t, server)).ends(t, "", "")
}

func TestAuthoritiesCanBeAFolder(t *testing.T) {
	dir := t.TempDir()
	ca := tlsauthtest.NewAuthority(t, dir, "ca")
	files := ca.Issue(t, "localhost")
	folder := filepath.Join(dir, "authorities")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(ca.File, filepath.Join(folder, "a8c7.0")); err != nil {
		t.Fatal(err)
	}
	files.Authority = folder
	c := load(t, files)
	meet(t, c, c).ends(t, "", "")
}

func TestNothingBelowTLS12(t *testing.T) {
	c := load(t, tlsauthtest.NewAuthority(t, t.TempDir(), "ca").Issue(t, "localhost"))
	for _, version := range []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		client, server := pair(t)
		done := make(chan error, 1)
		go func() {
			_, err := accept(t, c, server, nil).Read(make([]byte, 1))
			done <- err
		}()
		conn := tls.Client(client, &tls.Config{
			InsecureSkipVerify: true, // the test is about the server
			MinVersion:         version, MaxVersion: version,
		})
		err := conn.HandshakeContext(t.Context())
		refused := err != nil && strings.Contains(err.Error(), "protocol version not supported")
		if refused != (version < tls.VersionTLS12) {
			t.Errorf("version %x: %v", version, err)
		}
		_ = client.Close()
		<-done
	}
}

func TestReloadIsForNewConnections(t *testing.T) {
	ca := tlsauthtest.NewAuthority(t, t.TempDir(), "ca")
	files := ca.Issue(t, "localhost")
	c := load(t, files)
	client, server := pair(t)
	held := accept(t, c, server, nil)
	done := make(chan error, 1)
	again := make(chan struct{})
	go func() {
		err := exchange(held, "server", "client")
		<-again
		done <- errors.Join(err, exchange(held, "server", "client"))
	}()
	conn, err := c.Client(t.Context(), client, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(conn, "client", "server"); err != nil {
		t.Fatal(err)
	}
	before := meet(t, c, c)
	ca.Issue(t, "localhost")
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	after := meet(t, c, c)
	before.ends(t, "", "")
	after.ends(t, "", "")
	if before.seen.Equal(after.seen) || !c.Certificate().Equal(after.seen) {
		t.Error("the new certificate is not in use")
	}
	close(again)
	if err := exchange(conn, "client", "server"); err != nil {
		t.Errorf("a connection of before: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAReloadThatFailsChangesNothing(t *testing.T) {
	ca := tlsauthtest.NewAuthority(t, t.TempDir(), "ca")
	files := ca.Issue(t, "localhost")
	c := load(t, files)
	was := c.Certificate()
	ca.Issue(t, "localhost")
	if err := os.WriteFile(files.Key, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); err == nil || !strings.Contains(err.Error(), files.Certificate) {
		t.Errorf("got %v", err)
	}
	m := meet(t, c, c)
	m.ends(t, "", "")
	if !m.seen.Equal(was) {
		t.Error("another certificate is in use")
	}
}

func TestAPlainPeerIsAnsweredInPlainText(t *testing.T) {
	c := load(t, tlsauthtest.NewAuthority(t, t.TempDir(), "ca").Issue(t, "localhost"))
	client, server := pair(t)
	done := make(chan error, 1)
	go func() {
		conn := accept(t, c, server, func(raw net.Conn) {
			b := make([]byte, 5)
			if _, err := io.ReadFull(raw, b); err != nil || string(b) != "hello" {
				t.Errorf("it said %q, %v", b, err)
			}
			if _, err := raw.Write([]byte("speak TLS")); err != nil {
				t.Error(err)
			}
		})
		_, err := conn.Read(make([]byte, 1))
		done <- errors.Join(err, conn.Close())
	}()
	if _, err := client.Write([]byte("hello, and more that nobody reads")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(client); err != nil || string(b) != "speak TLS" {
		t.Errorf("got %q, %v", b, err)
	}
	_ = client.Close()
	if err := <-done; !errors.Is(err, tlsauth.ErrPlainText) {
		t.Errorf("got %v", err)
	}
}

func TestAPlainServerIsFoundOut(t *testing.T) {
	c := load(t, tlsauthtest.NewAuthority(t, t.TempDir(), "ca").Issue(t, "localhost"))
	for name, answer := range map[string]string{
		"answers in plain text": "\x00\x00\x00\x10refused 8 no TLS",
		"hangs up":              "",
	} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			go func() {
				_, _ = server.Read(make([]byte, 4096))
				_, _ = server.Write([]byte(answer))
				_ = server.Close()
			}()
			if _, err := c.Client(t.Context(), client, "localhost"); !errors.Is(err, tlsauth.ErrNoTLS) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAHandshakeEndsWithItsDeadline(t *testing.T) {
	c := load(t, tlsauthtest.NewAuthority(t, t.TempDir(), "ca").Issue(t, "localhost"))
	for name, said := range map[string]string{"says nothing": "", "begins a record": "\x16\x03\x01\x00"} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			conn := accept(t, c, server, nil)
			if _, err := client.Write([]byte(said)); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			var timeout net.Error
			if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("got %v", err)
			}
		})
	}
	client, _ := pair(t)
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	if _, err := c.Client(ctx, client, "localhost"); !errors.Is(err, because) {
		t.Errorf("a client: %v", err)
	}
}
