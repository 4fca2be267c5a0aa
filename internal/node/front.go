package node

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo"
)

// A ZEOConfig says where and how a process serves its storages to ZEO clients. Address is required.
type ZEOConfig struct {
	Address endpoint.Endpoint
	TLS     *tlsauth.Files // nil: plain text
	loaded  *tlsauth.Credentials
	Options zeo.Options // of the server; its Logger is required
}

// credentials returns what is used for TLS; nil: plain text, or no clients are served.
func (z *ZEOConfig) credentials() *tlsauth.Credentials {
	if z == nil {
		return nil
	}
	return z.loaded
}

// A front serves the storages of a process to ZEO clients.
type front interface {
	// Offer makes an open storage available under its name until withdraw is called, which returns when no client
	// uses it any more. A secondary withdraws its storage and offers it again when it had to be reopened.
	Offer(name string, st *filestorage.Storage, opt zeo.StorageOptions) (withdraw func())
	// SetAccess changes what clients may do with a storage, at once.
	SetAccess(name string, access zeo.Access)
	// Serve accepts clients until ctx ends, and returns when none is connected any more. That is no error.
	Serve(ctx context.Context) error
	// Listening reports whether clients can connect.
	Listening() bool
	// Clients returns those that are connected now.
	Clients() []admin.Client
	// Stats returns what the clients of a storage did since it was offered, false when it is not.
	Stats(name string) (zeo.Stats, bool)
	// Registered returns how many clients are registered, and how many may be.
	Registered() (clients, limit int)
	// Step has the clients of a moment go on to a later one.
	Step(ctx context.Context, name string, to filestorage.Moment) error
	// Show has the clients of a moment see each transaction up to a later one.
	Show(ctx context.Context, name string, to filestorage.Moment) error
	// End says why a storage that was withdrawn does not come back.
	End(name string, why error)
	// Resized sends the clients of a storage, which is open until it returns, its size after a pack.
	Resized(name string)
}

// A zeoFront is the front of a process, with a server of its own.
type zeoFront struct {
	cfg    *ZEOConfig
	log    hclog.Logger
	server *zeo.Server

	listening atomic.Bool

	mu      sync.Mutex
	missing map[string]struct{} // storages that were not offered yet
	ready   chan struct{}       // closed when none is missing
}

// newFront returns what serves storages of these names. It listens when these are there; clients of the moments wait
// for theirs.
func newFront(cfg *ZEOConfig, names, moments []string) *zeoFront {
	f := &zeoFront{
		cfg: cfg, log: cfg.Options.Logger, server: zeo.New(cfg.Options),
		missing: make(map[string]struct{}), ready: make(chan struct{}),
	}
	for _, name := range names {
		f.missing[name] = struct{}{}
	}
	if len(names) == 0 {
		close(f.ready)
	}
	for _, name := range moments {
		f.server.Expect(name)
	}
	return f
}

// Offer is of front.
func (f *zeoFront) Offer(name string, st *filestorage.Storage, opt zeo.StorageOptions) (withdraw func()) {
	withdraw, err := f.server.Offer(name, st, opt)
	if err != nil {
		f.log.Error("cannot serve a storage", "storage", name, "error", err, "warning", warning.StorageClosed)
		withdraw = func() {}
	}
	f.arrived(name)
	return withdraw
}

// arrived notes that a storage is not waited for any more.
func (f *zeoFront) arrived(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, first := f.missing[name]; first {
		if delete(f.missing, name); len(f.missing) == 0 {
			close(f.ready)
		}
	}
}

// Serve is of front. It listens when all storages are open: a client that came before would hear that there is none.
func (f *zeoFront) Serve(ctx context.Context) error {
	defer f.server.Close()
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil
	}
	ln, err := f.listen(ctx)
	if err != nil {
		return &StartError{Err: err}
	}
	f.listening.Store(true)
	defer f.listening.Store(false)
	f.log.Info(fmt.Sprintf("listening on %v", ln.Addr()))
	if f.cfg.TLS == nil && !f.cfg.Address.Local() {
		f.log.Warn("clients are served in plain text, and other machines can reach this address: who can connect can "+
			"read and change everything; let only clients reach it, give it certificates (<ssl>, --zeo-tls-cert), or "+
			"serve at an address of this machine", "address", f.cfg.Address.String(), "warning", warning.PlainZEO)
	}
	return f.server.Serve(ctx, ln)
}

// Listening is of front.
func (f *zeoFront) Listening() bool { return f.listening.Load() }

func (f *zeoFront) listen(ctx context.Context) (net.Listener, error) {
	ln, err := f.cfg.Address.Listen(ctx)
	if err != nil || f.cfg.TLS == nil {
		return ln, err
	}
	return f.cfg.loaded.Listen(ln, nil), nil
}

// SetAccess is of front.
func (f *zeoFront) SetAccess(name string, access zeo.Access) { f.server.SetAccess(name, access) }

// Step is of front.
func (f *zeoFront) Step(ctx context.Context, name string, to filestorage.Moment) error {
	return f.server.Step(ctx, name, to)
}

// Show is of front.
func (f *zeoFront) Show(ctx context.Context, name string, to filestorage.Moment) error {
	return f.server.Show(ctx, name, to)
}

// End is of front. A storage that has ended is not waited for.
func (f *zeoFront) End(name string, why error) {
	f.server.End(name, why)
	f.arrived(name)
}

// Resized is of front.
func (f *zeoFront) Resized(name string) { f.server.Resized(name) }

// Stats is of front.
func (f *zeoFront) Stats(name string) (zeo.Stats, bool) { return f.server.Stats(name) }

// Registered is of front.
func (f *zeoFront) Registered() (clients, limit int) { return f.server.Registered() }

// Clients is of front.
func (f *zeoFront) Clients() []admin.Client {
	infos := f.server.Clients()
	list := make([]admin.Client, len(infos))
	for i := range infos {
		c := &infos[i]
		list[i] = admin.Client{
			Address: admin.NonZero(c.Address), Label: admin.NonZero(c.Label), Storage: admin.NonZero(c.Storage),
			Protocol: admin.NonZero(c.Encoding),
			ReadOnly: c.ReadOnly, Since: c.Since.UTC(), Doing: string(c.Doing), Outbox: c.Outbox,
			Loads: c.Loads, Stores: c.Stores, Commits: c.Commits,
		}
		if !c.DoingSince.IsZero() {
			list[i].DoingSince = admin.Known(c.DoingSince.UTC())
		}
	}
	return list
}
