package node

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/zeo"
)

// A Process is several storages, each with its own role, and what they share.
type Process struct {
	// Shared has the admin server, the log and the reloads; of Config it needs Admin, AdminTLS, InsecurePlainText,
	// Reloads and Logger.
	Shared   Config
	Storages []Storage
	ZEO      *ZEOConfig // nil: storages are only replicated

	front   front       // what serves clients instead, in tests
	onePack *sync.Mutex // see Config
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
	ReadOnly    bool        // no lock, nothing written
	OnlyMoments bool        // clients do not get the storage as it is, only as of its Moments
	From        FromArchive // where its one moment is read; zero: here
}

// Serve runs a process until ctx ends and returns nil. Otherwise it returns why it could not start or go on:
// *ConfigError, *StartError, or what failed. When one storage fails for good, all end.
func Serve(ctx context.Context, p Process) error {
	members, err := p.members()
	if err != nil {
		return err
	}
	return runAll(ctx, &p.Shared, members, p.front)
}

// Check reports what keeps Serve from starting that can be seen without opening a storage or an address: settings,
// certificates and secrets.
func Check(p Process) error {
	members, err := p.members()
	if err != nil {
		return err
	}
	release, err := loadAll(&p.Shared, members)
	if err != nil {
		return err
	}
	release()
	if p.ZEO != nil && p.ZEO.TLS != nil {
		if _, err := tlsauth.Load(*p.ZEO.TLS); err != nil {
			return &StartError{Err: fmt.Errorf("TLS of the ZEO server: %w", err)}
		}
	}
	return nil
}

// members checks the settings and returns what runs the storages.
func (p *Process) members() ([]*member, error) {
	p.Shared.fill()
	if err := p.Shared.checkAdmin(); err != nil {
		return nil, err
	}
	if len(p.Storages) == 0 {
		return nil, &ConfigError{"there is no storage to serve"}
	}
	p.onePack = new(sync.Mutex)
	if p.ZEO != nil {
		p.front = newFront(p.ZEO, p.names(), p.moments())
	}
	var members []*member
	names := map[string]bool{}
	for _, name := range append(p.names(), p.moments()...) {
		if names[name] {
			return nil, &ConfigError{fmt.Sprintf("two storages have the name %s: give each its own", name)}
		}
		names[name] = true
	}
	for i := range p.Storages {
		s := &p.Storages[i]
		m, err := s.member(p)
		if err != nil {
			return nil, err
		}
		if p.ZEO != nil {
			m.status.base.ZEOAddr = admin.Known(p.ZEO.Address.String())
		}
		members = append(members, m)
	}
	if len(members) == 1 {
		members[0].name = ""
	}
	return members, nil
}

// names are those of the storages that clients get as they are.
func (p *Process) names() (names []string) {
	for i := range p.Storages {
		if alone := p.Storages[i].Standalone; alone == nil || !alone.OnlyMoments {
			names = append(names, p.Storages[i].Name)
		}
	}
	return names
}

// moments are the names of those that clients get as of a moment.
func (p *Process) moments() (names []string) {
	for i := range p.Storages {
		for _, one := range p.Storages[i].Common().Moments {
			names = append(names, one.Name)
		}
	}
	return names
}

// Common returns what the storage has in any role.
func (s *Storage) Common() *Config {
	switch {
	case s.Primary != nil:
		return &s.Primary.Config
	case s.Secondary != nil:
		return &s.Secondary.Config
	}
	return &s.Standalone.Config
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
	c.Logger, c.adminAt, c.onePack = p.Shared.Logger, p.Shared.Admin, p.onePack
	if len(p.Storages) > 1 {
		c.Logger = c.Logger.With("storage", name)
	}
	c.zeo = p.ZEO
	if c.front, c.zeoName = p.front, name; p.front != nil {
		c.clients = p.front.Registered
		c.offer = func(st *filestorage.Storage, opt zeo.StorageOptions) func() { return p.front.Offer(name, st, opt) }
		c.setAccess = func(access zeo.Access) { p.front.SetAccess(name, access) }
		c.resized = func() { p.front.Resized(name) }
		c.clientStats = func() (zeo.Stats, bool) { return p.front.Stats(name) }
	}
	return c
}

// offered makes an open storage available to commands, and to the front, if there is one. opt says what clients may do;
// how they have it packed, and whether they get its records as they are, is the Config's.
func (c *Config) offered(st *filestorage.Storage, opt zeo.StorageOptions) (withdraw func()) {
	remove := c.handle.put(st)
	if c.offer == nil {
		return remove
	}
	opt.Pack, opt.Watch = c.packOptions(admin.PackRequest{}), c.board
	opt.Decompress, opt.Compress = c.Decompress, c.Compress
	if c.healer != nil {
		opt.Correct = func(ctx context.Context, damage error) bool { return c.healer.correct(ctx, st, damage) }
		opt.DamagedBlobs = &damagedBlobs{c.healer, st}
	}
	end := c.serveMoments(st, opt)
	leave := func() {}
	if !c.onlyMoments {
		leave = c.offer(st, opt)
	}
	return func() { remove(); end(); leave() }
}

// A ConfigError says that a node cannot be run as it was told to. The text says what to tell it instead.
type ConfigError struct{ Text string }

func (e *ConfigError) Error() string { return e.Text }

// A StartError says that something which a node needs could not be opened: its data, its blobs, its log, an address
// to listen on. Nothing has been served.
type StartError = cluster.StartError

// errStopped is the cause of contexts that end because the node was told to stop.
var errStopped = errors.New("the node is shutting down")

// release is the version of a release, set by the linker: see the target release of the Makefile. Empty in other
// builds.
var release string

// Version returns the version of the program: that of the release, or what the Go toolchain recorded: a tag, a pseudo
// version with the commit, or "(devel)".
func Version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Commit returns the commit that the program was built from, with a + after it when files were changed, and "unknown"
// where the Go toolchain recorded none.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, changed := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	return commit + changed
}
