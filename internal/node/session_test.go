package node

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
)

// A working is a node of the cluster, and its session within reach.
type working struct {
	*running
	*session
}

// session runs a node on a site that knows where the others are.
func (s *site) session(t *testing.T, starts state.Role, others ...*site) *working {
	t.Helper()
	var from []endpoint.Endpoint
	for _, other := range others {
		from = append(from, other.to)
	}
	m := &member{}
	var err error
	if starts == state.RolePrimary {
		cfg := &PrimaryConfig{Config: s.config(), ReplicateFrom: from}
		m.c, err = &cfg.Config, cfg.check()
		cfg.addTo(m)
	} else {
		cfg := s.secondaryConfig(others[0])
		m.c, err = &cfg.Config, cfg.check()
		cfg.addTo(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan struct{}, 1)
	m.c.Opened = func(*cluster.Node) { opened <- struct{}{} }
	run := s.run(t, func(ctx context.Context) error { return runAll(ctx, m.c, []*member{m}, nil) })
	select {
	case <-opened:
	case err := <-run.Ended:
		run.Ended <- nil
		t.Fatalf("it ended before it was open: %v", err)
	}
	return &working{run, m.now.Load()}
}

// Clients are disconnected before a node has ended, and look for another primary at once.
func TestANodeThatIsStoppingDoesNotLead(t *testing.T) {
	a := newSite(t, nodetest.DiskWith(t, 3)).session(t, state.RolePrimary)
	a.Await(t, "it is ready", nodetest.Ready)
	question := &protocol.StatusRequest{StorageID: a.keep.State().StorageID, MaxEpochBegun: 1}
	for _, stops := range []bool{false, true} {
		a.c.leaving.Store(stops)
		if got, refusal := a.node.Status(question); refusal != nil || got.IsPrimary == stops {
			t.Errorf("it stops: %v; it says %+v, %v", stops, got, refusal)
		}
	}
}

// A stop while a storage is opened is no error. What else went wrong meanwhile is one.
func TestAStopHidesNoOtherError(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stopped, closing := errors.New("stopped by a signal"), errors.New("the index could not be saved")
	stop(stopped)
	opening := &StartError{Err: fmt.Errorf("opening Data.fs: %w", stopped)}
	for name, c := range map[string]struct{ err, want error }{
		"nothing went wrong":                    {nil, nil},
		"opening was interrupted":               {opening, nil},
		"so was closing":                        {errors.Join(opening, context.Canceled), nil},
		"closing failed":                        {closing, closing},
		"closing failed as well":                {errors.Join(opening, closing), closing},
		"closing failed within what was opened": {&StartError{Err: errors.Join(opening, closing)}, closing},
		"and was interrupted before":            {errors.Join(errors.Join(stopped, closing), opening), closing},
	} {
		if got := besidesStop(ctx, c.err); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		} else if errors.Is(got, stopped) || errors.Is(got, context.Canceled) {
			t.Errorf("%s: it says that it was stopped: %v", name, got)
		}
	}
}

// A node may be told to stop at any time: here before its storage is open.
func TestAStopWhileTheStorageOpensIsNoError(t *testing.T) {
	for name, start := range map[string]func(ctx context.Context, s *site) error{
		"primary": func(ctx context.Context, s *site) error {
			return runPrimary(ctx, PrimaryConfig{Config: s.config()})
		},
		"secondary": func(ctx context.Context, s *site) error {
			return runSecondary(ctx, s.secondaryConfig(newSite(t, simdisk.New())))
		},
		"attached": func(ctx context.Context, s *site) error {
			return runPrimary(ctx, PrimaryConfig{Config: s.config(), Attach: true})
		},
		"standalone": func(ctx context.Context, s *site) error {
			alone := &StandaloneConfig{Config: s.config()}
			return Serve(ctx, Process{Storages: []Storage{{Name: "1", Standalone: alone}}})
		},
	} {
		ctx, stop := context.WithCancelCause(t.Context())
		stop(errors.New("stopped by a signal"))
		if err := start(ctx, newSite(t, nodetest.DiskWith(t, 3))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
