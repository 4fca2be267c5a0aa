package node

import (
	"context"
	"testing"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
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
