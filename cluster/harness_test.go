package cluster_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is where one node lives: its disk and its sockets.
type site struct {
	disk        vfs.FS
	to, control endpoint.Endpoint
	coordinator *node.CoordinatorConfig // nil: none
	name        string
	sync        cluster.SyncConfig

	newIdentity, asItWas bool

	sharedBlobs string // the primary's blob directory; empty: none is shared
}

func newSite(t *testing.T, disk vfs.FS) *site {
	t.Helper()
	dir := t.TempDir()
	return &site{
		disk: disk, to: nodetest.Socket(t, filepath.Join(dir, "to")),
		control: nodetest.Socket(t, filepath.Join(dir, "admin")),
	}
}

func (s *site) config() node.Config {
	return node.Config{
		FS: s.disk, Data: "Data.fs", Name: s.name, Sync: s.sync, ReplicateTo: s.to,
		Coordinator: s.coordinator, NewIdentity: s.newIdentity, AsItWas: s.asItWas,
		Blobs: s.sharedBlobs, SharedBlobs: s.sharedBlobs != "",
		Heartbeat: 50 * time.Millisecond, MaxSecondaries: 4, DrainTimeout: nodetest.Patience,
	}
}

// storage is the node of the site, which knows where others are. A primary may know of none.
func (s *site) storage(starts state.Role, others ...*site) node.Storage {
	var from []endpoint.Endpoint
	for _, other := range others {
		from = append(from, other.to)
	}
	if starts == state.RolePrimary {
		return node.Storage{Name: "1", Primary: &node.PrimaryConfig{Config: s.config(), ReplicateFrom: from}}
	}
	return node.Storage{Name: "1", Secondary: &node.SecondaryConfig{
		Config: s.config(), ReplicateFrom: from, ReadyLag: time.Minute, MaxRecord: 1 << 20,
	}}
}

// serve runs a node until ctx ends.
func (s *site) serve(ctx context.Context, st node.Storage) error {
	return node.Serve(ctx, node.Process{Shared: node.Config{Admin: s.control}, Storages: []node.Storage{st}})
}

// A seat is a node at work, and its storage within reach.
type seat struct {
	*site
	*nodetest.Running
	*cluster.Node

	st   *filestorage.Storage
	keep *state.Keeper
	sec  cluster.Secondary
}

// seated runs a node on a site that knows where the others are.
func (s *site) seated(t *testing.T, starts state.Role, others ...*site) *seat {
	t.Helper()
	opened := make(chan *cluster.Node, 1)
	st := s.storage(starts, others...)
	note := func(e *cluster.Node) {
		select {
		case opened <- e:
		default: // it was opened again
		}
	}
	if st.Primary != nil {
		st.Primary.Opened = note
	} else {
		st.Secondary.Opened = note
	}
	run := nodetest.Run(t, s.control, func(ctx context.Context) error { return s.serve(ctx, st) })
	select {
	case e := <-opened:
		return &seat{s, run, e, e.Storage(), e.Keeper(), e.Following()}
	case err := <-run.Ended:
		run.Ended <- nil
		t.Fatalf("it ended before it was open: %v", err)
	case <-time.After(nodetest.Patience):
		t.Fatal("it is never open")
	}
	return nil
}

// refused expects a refusal.
func refused(t *testing.T, err error, reason admin.Reason, text string) {
	t.Helper()
	var refusal *admin.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != reason || !strings.Contains(refusal.Text, text) {
		t.Errorf("got %v, want %s and %q", err, reason, text)
	}
}
