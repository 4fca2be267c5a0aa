package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is where one node lives: its disk and its sockets.
type site struct {
	disk        vfs.FS
	to, control endpoint.Endpoint
}

func newSite(t *testing.T, disk vfs.FS) *site {
	t.Helper()
	to, control := nodetest.Sockets(t)
	return &site{disk: disk, to: to, control: control}
}

func (s *site) config() Config {
	return Config{
		FS: s.disk, Data: "Data.fs", ReplicateTo: s.to, Admin: s.control,
		Heartbeat: 200 * time.Millisecond, MaxSecondaries: 4, DrainTimeout: nodetest.Patience,
	}
}

// A running is a node at work.
type running struct {
	*site
	*nodetest.Running
}

func (s *site) run(t *testing.T, node func(context.Context) error) *running {
	t.Helper()
	return &running{s, nodetest.Run(t, s.control, node)}
}

func (s *site) primary(t *testing.T) *running {
	t.Helper()
	return s.run(t, func(ctx context.Context) error { return runPrimary(ctx, PrimaryConfig{Config: s.config()}) })
}

func (s *site) secondaryConfig(from *site) SecondaryConfig {
	return SecondaryConfig{Config: s.config(), ReplicateFrom: []endpoint.Endpoint{from.to}, ReadyLag: time.Minute,
		MaxRecord: 1 << 20}
}

func (s *site) secondary(t *testing.T, from *site) *running {
	t.Helper()
	return s.run(t, func(ctx context.Context) error { return runSecondary(ctx, s.secondaryConfig(from)) })
}

// fails runs a node that must end by itself with an error of type E.
func fails[E error](t *testing.T, err error) (e E) {
	t.Helper()
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a %T", err, e)
	}
	return e
}

// runPrimary runs a primary until ctx ends, as a process of this storage alone.
func runPrimary(ctx context.Context, cfg PrimaryConfig) error {
	if err := cfg.check(); err != nil {
		return err
	}
	m := &member{c: &cfg.Config}
	cfg.addTo(m)
	return runAll(ctx, &cfg.Config, []*member{m}, nil)
}

// runSecondary is runPrimary for a secondary.
func runSecondary(ctx context.Context, cfg SecondaryConfig) error {
	if err := cfg.check(); err != nil {
		return err
	}
	m := &member{c: &cfg.Config}
	cfg.addTo(m)
	return runAll(ctx, &cfg.Config, []*member{m}, nil)
}
