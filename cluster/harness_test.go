package cluster_test

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
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

	reseed string // node.Config.Reseed

	spare bool // node.SecondaryConfig.Spare, of nodes that are out at all

	sharedBlobs string // the primary's blob directory; empty: none is shared
}

func newSite(t *testing.T, disk vfs.FS) *site {
	t.Helper()
	to, control := nodetest.Sockets(t)
	return &site{disk: disk, to: to, control: control}
}

func (s *site) config() node.Config {
	return node.Config{
		FS: s.disk, Data: "Data.fs", Name: s.name, Sync: s.sync, ReplicateTo: s.to,
		Coordinator: s.coordinator, NewIdentity: s.newIdentity, AsItWas: s.asItWas,
		Reseed: s.reseed, Blobs: s.sharedBlobs, SharedBlobs: s.sharedBlobs != "",
		Heartbeat: 200 * time.Millisecond, MaxSecondaries: 4, DrainTimeout: nodetest.Patience,
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
		Spare: s.spare, SpareAfter: 1,
	}}
}

// serve runs a node until ctx ends.
func (s *site) serve(ctx context.Context, st node.Storage) error {
	return node.Serve(ctx, node.Process{Shared: node.Config{Admin: s.control}, Storages: []node.Storage{st}})
}

// A running is a node at work, and its storage within reach.
type clusterNode struct {
	*site
	*nodetest.Running
	*cluster.Node

	st   *filestorage.Storage
	keep *state.Keeper
	sec  cluster.Secondary
}

// start runs a node on a site that knows where the others are.
func (s *site) start(t *testing.T, starts state.Role, others ...*site) *clusterNode {
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
		return &clusterNode{s, run, e, e.Storage(), e.Keeper(), e.Following()}
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

// three starts a primary with some transactions and two secondaries that have them all.
func three(t *testing.T) (a, b, c *clusterNode) {
	t.Helper()
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	a = sa.start(t, state.RolePrimary, sb, sc)
	b = sb.start(t, state.RoleSecondary, sa, sc)
	c = sc.start(t, state.RoleSecondary, sa, sb)
	a.Await(t, "the primary is ready", nodetest.Ready) // it had to hear that the others know of no identity
	b.has(t, a.st.LastTid())
	c.has(t, a.st.LastTid())
	return a, b, c
}

// has waits until a node has a transaction, and its vote counts: that is noted a moment later.
func (s *clusterNode) has(t *testing.T, tid zodb.Tid) {
	t.Helper()
	s.Await(t, fmt.Sprintf("it has %v", tid), func(st *admin.Status) bool {
		return st.Storage.LastTid != nil && *st.Storage.LastTid >= tid && !st.Learner
	})
}

// commits makes a transaction as a client does that asks whether it may.
func (s *clusterNode) commits(t *testing.T) zodb.Tid {
	t.Helper()
	tid, err := s.tryCommit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func (s *clusterNode) tryCommit(ctx context.Context) (zodb.Tid, error) {
	if err := s.identified(ctx); err != nil {
		return 0, err
	}
	txn, err := s.st.Begin(ctx, &zodb.TxnMeta{})
	if err != nil {
		return 0, err
	}
	if s.Access() != zeo.Writable {
		return 0, errors.Join(zodb.ErrReadOnly, txn.Abort())
	}
	serial, _ := s.st.GetTid(1)
	if err := txn.Store(1, serial, []byte("state")); err != nil {
		return 0, errors.Join(err, txn.Abort())
	}
	return txn.Finish(ctx, nil)
}

// identified waits until a primary has heard that the others know of no identity.
func (s *clusterNode) identified(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodetest.Patience)
	defer cancel()
	for s.AsksIdentity() {
		if pause.For(ctx, time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("it has no identity: %w", ctx.Err())
		}
	}
	return nil
}

func silent(admin.Step) {}

// follows waits until a node follows another one as its primary.
func (s *clusterNode) follows(t *testing.T, other *clusterNode) {
	t.Helper()
	s.Await(t, "it follows the other", func(*admin.Status) bool {
		now := s.sec.Status()
		return now.Connected && now.IsPrimary && now.Address == other.to.String()
	})
}

func (s *clusterNode) epoch() uint64 { return s.keep.State().Epoch().Number }
