package zeo

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/tlsauth/tlsauthtest"
	"github.com/zrsd/zrsd/zeo/wire"
)

// A client that waits is read from with a deadline that ends in the middle: over TLS as well the connection goes on.
func TestAWriterWaitsOverTLS(t *testing.T) {
	dir := t.TempDir()
	authority := tlsauthtest.NewAuthority(t, dir, "authority")
	credentials, err := tlsauth.Load(authority.Issue(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), filestorage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	e := new(elsewhere)
	s := offer(t, st, Options{}, StorageOptions{Access: ReadOnly, Elsewhere: e.ask, Hold: true, HoldFor: time.Hour})
	plain, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, credentials.Listen(plain, nil)) }()
	defer func() { cancel(); <-served }()

	raw, err := new(net.Dialer).DialContext(t.Context(), "tcp", plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(patience))
	mine, err := tls.LoadX509KeyPair(clientFiles(t, authority))
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{mine},
	})
	p := &peer{t: t, conn: conn}
	p.codec, _ = wire.CodecFor(wire.Z5)
	if _, err := wire.Read(conn, 100); err != nil {
		t.Fatal(err)
	}
	p.raw([]byte(wire.Z5))
	answer := p.send(0, "register", "1", false)
	e.asks(t, s)
	s.SetAccess("1", Writable)
	tidIn(t, p.answer(answer).Args)
	p.commit(1, 0, "data")
}

func clientFiles(t *testing.T, a *tlsauthtest.Authority) (certificate, key string) {
	t.Helper()
	f := a.Issue(t, "client")
	return f.Certificate, f.Key
}
