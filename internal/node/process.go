package node

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A Process is several storages, each with its own role, and what they share.
type Process struct {
	// Shared has the admin server, the log and the reloads; of Config it needs Admin, AdminTLS, InsecurePlainText,
	// Reloads and Logger.
	Shared   Config
	Storages []Storage
	Front    Front // nil: storages are only replicated
}

// A Storage is one storage of a process. Exactly one of the roles is set; its Admin, AdminTLS and Reloads are those
// of the process.
type Storage struct {
	Name       string // as clients ask for it; unique
	Primary    *PrimaryConfig
	Secondary  *SecondaryConfig
	Standalone *StandaloneConfig
}

// A StandaloneConfig describes a storage that is not replicated.
type StandaloneConfig struct {
	Config
	ReadOnly bool // no lock, nothing written
}

// ServeOptions are those on which clients use a storage.
type ServeOptions struct {
	Access zeo.Access // at first
	// Cleared waits until clients may be told of transactions up to tid: see zeo.StorageOptions.
	Cleared func(ctx context.Context, tid zodb.Tid) error
	// Elsewhere, Hold and HoldFor say what becomes of clients that want to write elsewhere: see zeo.StorageOptions.
	Elsewhere func(ctx context.Context) zeo.Leader
	Hold      bool
	HoldFor   time.Duration
	// Behind is told of clients whose caches may be ahead: see zeo.StorageOptions.
	Behind func()
	// Watch is told when clients cannot be told of commits.
	Watch *watchdog.Board
}

// A Front serves the storages of a process to clients, as ZEO does.
type Front interface {
	// Offer makes an open storage available under its name until withdraw is called, which returns when no client
	// uses it any more. A secondary withdraws its storage and offers it again when it had to be reopened.
	Offer(name string, st *filestorage.Storage, terms ServeOptions) (withdraw func())
	// SetAccess changes what clients may do with a storage, at once.
	SetAccess(name string, access zeo.Access)
	// Serve accepts clients until ctx ends, and returns when none is connected any more. That is no error.
	Serve(ctx context.Context) error
	// Clients returns those that are connected now.
	Clients() []admin.Client
	// Resized tells the clients of a storage, which is open until it returns, that a pack has changed its size.
	Resized(name string)
}

// Serve runs a process until ctx ends and returns nil. Otherwise it returns why it could not start or go on:
// *ConfigError, *StartError, or what failed. When one storage fails for good, all end.
func Serve(ctx context.Context, p Process) error {
	p.Shared.fill()
	if err := p.Shared.checkAdmin(); err != nil {
		return err
	}
	if len(p.Storages) == 0 {
		return &ConfigError{"there is no storage to serve"}
	}
	var members []*member
	names := map[string]bool{}
	for i := range p.Storages {
		s := &p.Storages[i]
		if names[s.Name] {
			return &ConfigError{fmt.Sprintf("two storages have the name %s: give each its own", s.Name)}
		}
		names[s.Name] = true
		m, err := s.member(&p)
		if err != nil {
			return err
		}
		members = append(members, m)
	}
	if len(members) == 1 {
		members[0].name = ""
	}
	return runAll(ctx, &p.Shared, members, p.Front)
}

// member returns what runs a storage.
func (s *Storage) member(p *Process) (*member, error) {
	m := &member{name: s.Name, storage: s.Name}
	switch {
	case s.Primary != nil:
		cfg := *s.Primary
		m.c = cfg.join(p, s.Name)
		err := cfg.check()
		cfg.addTo(m)
		return m, m.named(err)
	case s.Secondary != nil:
		cfg := *s.Secondary
		m.c = cfg.join(p, s.Name)
		err := cfg.check()
		cfg.addTo(m)
		return m, m.named(err)
	}
	cfg := *s.Standalone
	m.c = cfg.join(p, s.Name)
	err := cfg.check()
	m.status = newNodeStatus(roleStandalone, m.c)
	m.session = func(ctx context.Context) error { return cfg.session(ctx, m.status) }
	return m, m.named(err)
}

// join gives a storage what it shares with the others.
func (c *Config) join(p *Process, name string) *Config {
	c.Reloads = p.Shared.Reloads
	c.Logger = p.Shared.Logger
	if len(p.Storages) > 1 {
		c.Logger = c.Logger.With("storage", name)
	}
	if p.Front != nil {
		c.offer = func(st *filestorage.Storage, terms ServeOptions) func() { return p.Front.Offer(name, st, terms) }
		c.setAccess = func(access zeo.Access) { p.Front.SetAccess(name, access) }
		c.resized = func() { p.Front.Resized(name) }
	}
	return c
}

// offered makes an open storage available to commands, and to the front, if there is one.
func (c *Config) offered(st *filestorage.Storage, terms ServeOptions) (withdraw func()) {
	remove := c.handle.put(st)
	if c.offer == nil {
		return remove
	}
	leave := c.offer(st, terms)
	return func() { remove(); leave() }
}
