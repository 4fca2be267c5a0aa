package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
)

// expiresSoon is how long before its end a certificate is warned about.
const expiresSoon = 14 * 24 * time.Hour

// credentials are what a node has read of the files that its Config names. What is nil is not in use.
type credentials struct {
	servers     *tlsauth.Credentials // between servers
	admin       *tlsauth.Credentials
	coordinator *tlsauth.Credentials
	secret      protocol.Secret
	exposed     bool // every user of the machine can read the secret
}

// loadCredentials reads the files, and reads them again at every signal until release is called.
func (c *Config) loadCredentials() (release func(), err error) {
	if err := c.loadSecret(); err != nil {
		return nil, err
	}
	var ends []func()
	release = func() {
		for _, end := range ends {
			end()
		}
	}
	for _, one := range []struct {
		what  string
		files *tlsauth.Files
		to    **tlsauth.Credentials
	}{
		{"replication", c.TLS, &c.read.servers}, {"admin server", c.AdminTLS, &c.read.admin},
		{"coordinator", c.Coordinator.files(), &c.read.coordinator},
	} {
		if one.files == nil {
			continue
		}
		loaded, err := tlsauth.Load(*one.files)
		if err != nil {
			release()
			return nil, &StartError{Err: fmt.Errorf("TLS of the %s: %w", one.what, err)}
		}
		*one.to = loaded
		c.logCertificate("TLS is on", one.what, loaded)
		ends = append(ends, c.Reloads.add(func() { c.reload(one.what, loaded) }))
	}
	return release, nil
}

// loadFront reads the files of the server for ZEO clients, and reads them again at every signal until release is
// called.
func (c *Config) loadFront() (release func(), err error) {
	if c.zeo == nil || c.zeo.TLS == nil {
		return func() {}, nil
	}
	const what = "ZEO server"
	loaded, err := tlsauth.Load(*c.zeo.TLS)
	if err != nil {
		return nil, &StartError{Err: fmt.Errorf("TLS of the %s: %w", what, err)}
	}
	c.zeo.loaded = loaded
	c.logCertificate("TLS is on", what, loaded)
	return c.Reloads.add(func() { c.reload(what, loaded) }), nil
}

func (c *Config) loadSecret() error {
	if c.SecretFile == "" {
		return nil
	}
	secret, exposed, err := tlsauth.ReadSecret(c.SecretFile)
	if err != nil {
		return &StartError{Err: err}
	}
	if exposed {
		c.Logger.Warn("every user on this machine can read the shared secret: chmod 600 its file, and replace the "+
			"secret if another user may have read it", "file", c.SecretFile, "warning", warning.SecretExposed)
	}
	c.read.secret, c.read.exposed = secret, exposed
	return nil
}

// reload takes the files as they are now, or goes on with what they were.
func (c *Config) reload(what string, loaded *tlsauth.Credentials) {
	if err := loaded.Reload(); err != nil {
		c.Logger.Error("cannot reload the certificates; the old ones stay in use", "for", what, "error", err,
			"warning", warning.ReloadFailed)
		return
	}
	c.logCertificate("certificates reloaded", what, loaded)
}

func (c *Config) logCertificate(event, what string, loaded *tlsauth.Credentials) {
	log := c.Logger.With("for", what)
	if cert := loaded.Certificate(); cert != nil { // a client may have authorities only
		log = log.With("certificate", cert.Subject.String(), "expires", cert.NotAfter)
	}
	log.Info(event)
}

// listenForServers begins to listen for secondaries.
func (c *Config) listenForServers(ctx context.Context) (net.Listener, error) {
	ln, err := c.ReplicateTo.Listen(ctx)
	switch {
	case err != nil:
		return nil, &StartError{Err: err}
	case c.read.servers != nil:
		return c.read.servers.Listen(ln, refusePlain), nil
	}
	c.warnPlain(warning.PlainReplication, "secondaries are served", c.ReplicateTo)
	return ln, nil
}

// listenForAdmin begins to listen for the clients of the admin server. Without an error and without a listener there is
// none.
func (c *Config) listenForAdmin(ctx context.Context, members []*member) (net.Listener, error) {
	if c.Admin.IsZero() {
		return c.listenBeside(ctx, members), nil
	}
	ln, err := c.Admin.Listen(ctx)
	switch {
	case err != nil:
		return nil, &StartError{Err: err}
	case c.read.admin != nil:
		return c.read.admin.Listen(ln, refusePlainHTTP), nil
	}
	c.warnPlain(warning.PlainAdmin, "the admin server answers", c.Admin)
	return ln, nil
}

// listenBeside listens at a socket beside the first data file that this process may write to, for its own user only.
func (c *Config) listenBeside(ctx context.Context, members []*member) net.Listener {
	i := slices.IndexFunc(members, func(m *member) bool { return !m.c.onlyRead })
	if !c.AdminBeside || i < 0 {
		return nil
	}
	at, err := endpoint.BesideData(members[i].c.Data)
	var ln net.Listener
	if err == nil {
		ln, err = at.Listen(ctx)
	}
	if err == nil {
		err = os.Chmod(at.String(), 0o600)
	}
	if err != nil {
		if ln != nil {
			_ = ln.Close() // nobody has connected
		}
		c.Logger.Warn("there is no admin address, so that zrsd status, pack and other commands cannot reach this "+
			"process: give it one (--admin, <admin>)", "error", err, "warning", warning.NoAdmin)
		return nil
	}
	return ln
}

// adminNames are the names under which the admin server answers, beside those of the machine.
func (c *Config) adminNames() []string {
	if host := c.Admin.Host(); host != "" {
		return append([]string{host}, c.AdminNames...)
	}
	return c.AdminNames
}

// dialServer connects to a primary.
func (c *Config) dialServer(ctx context.Context, addr string) (net.Conn, error) {
	e, err := endpoint.Parse(addr)
	if err != nil {
		return nil, err
	}
	return c.read.servers.Dial(ctx, e.Dial, e.Host())
}

func (c *Config) warnPlain(code warning.Code, what string, e endpoint.Endpoint) {
	if !e.Local() {
		c.Logger.Warn(what+" in plain text: anybody on the network path can read and change everything; "+
			"use certificates to prevent that", "address", e.String(), "warning", code)
	}
}

// refusePlain answers a secondary that speaks plain text where TLS is needed. Nobody else is answered: a zc.zrs
// secondary would take any answer for a transaction.
func refusePlain(raw net.Conn) {
	ctx := context.Background() // the connection has a deadline
	if proto, err := protocol.ServerPreface(ctx, raw); err != nil || proto != protocol.Native {
		return
	}
	_ = protocol.RefusePreface(ctx, raw, &protocol.Refusal{ // it has gone, or it reads this; the log has it anyway
		Code: protocol.CodeNotAuthorised,
		Text: "this primary speaks TLS: give the secondary a certificate with --tls-cert, --tls-key and --tls-ca",
	})
}

// refusePlainHTTP answers a browser, or a client that forgot its certificates.
func refusePlainHTTP(raw net.Conn) {
	const body = "This address speaks TLS: ask with https, and zrsd with --tls-ca.\n"
	_, _ = fmt.Fprintf(raw, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n%s", len(body), body)
}

// Reloads carries a signal to everything in a process that can read its files again. The zero value is ready, nil
// is one that never gets a signal. Its methods may be called concurrently.
type Reloads struct {
	told atomic.Bool // systemd has been told that the process serves

	mu   sync.Mutex
	next int
	all  map[int]func()
}

// serves notes that systemd has been told that the process serves: from now on it hears of reloads.
func (r *Reloads) serves() {
	if r != nil {
		r.told.Store(true)
	}
}

// Reload has all files read again and returns how many owners of files there were.
func (r *Reloads) Reload() int {
	if r.told.Load() {
		defer tellReload()()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reload := range r.all {
		reload()
	}
	return len(r.all)
}

// add has reload called by Reload until remove is called. After remove has returned it does not run any more.
func (r *Reloads) add(reload func()) (remove func()) {
	if r == nil {
		return func() {}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[int]func())
	}
	id := r.next
	r.next++
	r.all[id] = reload
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.all, id)
	}
}
