package main

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/eventlog"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/zeo"
)

// A front serves the storages of a process to ZEO clients.
type front struct {
	at      endpoint.Endpoint
	tls     *tlsauth.Files // nil: plain text
	log     hclog.Logger
	server  *zeo.Server
	options map[string]zeo.StorageOptions

	mu      sync.Mutex
	missing map[string]struct{} // storages that were not offered yet
	ready   chan struct{}       // closed when none is missing
}

// newFront returns a front at an address for the storages that the keys of options name.
func newFront(
	at endpoint.Endpoint, tls *tlsauth.Files, server zeo.Options, options map[string]zeo.StorageOptions,
) *front {
	f := &front{
		at: at, tls: tls, log: server.Logger, server: zeo.New(server), options: options,
		missing: make(map[string]struct{}), ready: make(chan struct{}),
	}
	for name := range options {
		f.missing[name] = struct{}{}
	}
	return f
}

// configuredFront returns the front of a configuration with <zeo>.
func configuredFront(cfg *config.Config, log hclog.Logger) *front {
	z := cfg.ZEO
	options := make(map[string]zeo.StorageOptions)
	for _, st := range cfg.Storages {
		options[st.Name] = zeo.StorageOptions{
			PackGC: st.PackGC.V, KeepOld: st.PackKeepOld.V,
		}
	}
	var tls *tlsauth.Files
	if ssl := z.SSL; ssl != nil {
		tls = &tlsauth.Files{
			Certificate: ssl.Certificate.V, Key: ssl.Key.V, PasswordFile: ssl.PasswordFile.V,
			Authority: ssl.Authenticate.V,
		}
	}
	return newFront(z.Address.V, tls, zeo.Options{
		Msgpack: z.Msgpack.V, ReadOnly: z.ReadOnly.V, Recent: int(z.InvalidationQueueSize.V),
		MaxClients: int(z.MaxClients.V), MaxStrangers: int(z.MaxPerAddress.V),
		TransactionTimeout: z.TransactionTimeout.V, Logger: log.ResetNamed("ZEO.StorageServer"),
		Critical: func(log hclog.Logger, text string) { log.Error(text, eventlog.Severity, eventlog.Critical) },
	}, options)
}

// Offer is node.Front.
func (f *front) Offer(name string, st *filestorage.Storage, terms node.ServeOptions) (withdraw func()) {
	opt := f.options[name]
	opt.Access, opt.Cleared, opt.Watch = terms.Access, terms.Cleared, terms.Watch
	opt.Behind = terms.Behind
	opt.Elsewhere, opt.Hold, opt.HoldFor = terms.Elsewhere, terms.Hold, terms.HoldFor
	withdraw, err := f.server.Offer(name, st, opt)
	if err != nil {
		f.log.Error("cannot serve a storage", "storage", name, "error", err)
		withdraw = func() {}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, first := f.missing[name]; first {
		if delete(f.missing, name); len(f.missing) == 0 {
			close(f.ready)
		}
	}
	return withdraw
}

// Serve is node.Front. It listens when all storages are open: a client that came before would hear that there is none.
func (f *front) Serve(ctx context.Context) error {
	defer f.server.Close()
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil
	}
	ln, err := f.listen(ctx)
	if err != nil {
		return &node.StartError{Err: err}
	}
	f.log.Info(fmt.Sprintf("listening on %v", ln.Addr()))
	return f.server.Serve(ctx, ln)
}

func (f *front) listen(ctx context.Context) (net.Listener, error) {
	ln, err := f.at.Listen(ctx)
	if err != nil || f.tls == nil {
		return ln, err
	}
	credentials, err := tlsauth.Load(*f.tls)
	if err != nil {
		_ = ln.Close() // nobody has connected
		return nil, err
	}
	return credentials.Listen(ln, nil), nil
}

// SetAccess is node.Front.
func (f *front) SetAccess(name string, access zeo.Access) { f.server.SetAccess(name, access) }

// Resized is node.Front.
func (f *front) Resized(name string) { f.server.Resized(name) }

// Clients is node.Front.
func (f *front) Clients() []admin.Client {
	infos := f.server.Clients()
	list := make([]admin.Client, len(infos))
	for i := range infos {
		c := &infos[i]
		list[i] = admin.Client{
			Address: known(c.Address), Label: known(c.Label), Storage: known(c.Storage), Protocol: known(c.Encoding),
			ReadOnly: c.ReadOnly, Since: c.Since.UTC(), Doing: string(c.Doing), Outbox: c.Outbox,
			Loads: c.Loads, Stores: c.Stores, Commits: c.Commits,
		}
		if !c.DoingSince.IsZero() {
			list[i].DoingSince = admin.Known(c.DoingSince.UTC())
		}
	}
	return list
}

// known returns a pointer to what a client said, nil when it said nothing.
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
