package cluster_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/leasetest"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// An awayCoordinator is the way of one node to a coordinator. It does not answer while it is away.
type awayCoordinator struct {
	*leasetest.Memory
	away atomic.Bool
}

var errAway = errors.New("nobody answers")

func (n *awayCoordinator) answers() error {
	if n.away.Load() {
		return errAway
	}
	return nil
}

func (n *awayCoordinator) Read(ctx context.Context, other int64) (lease.View, error) {
	if err := n.answers(); err != nil {
		return lease.View{}, err
	}
	return n.Memory.Read(ctx, other)
}

func (n *awayCoordinator) Acquire(ctx context.Context, seen lease.Record, c lease.Claim) (lease.Lease, error) {
	if err := n.answers(); err != nil {
		return nil, err
	}
	t, err := n.Memory.Acquire(ctx, seen, c)
	return &awayTenure{t, n}, err
}

func (n *awayCoordinator) Publish(ctx context.Context, s lease.MemberStatus, ttl time.Duration) error {
	return errors.Join(n.answers(), n.Memory.Publish(ctx, s, ttl))
}

type awayTenure struct {
	lease.Lease
	r *awayCoordinator
}

func (t *awayTenure) Renew(ctx context.Context, c lease.Claim) error {
	if err := t.r.answers(); err != nil {
		return err
	}
	return t.Lease.Renew(ctx, c)
}

// aWhile is a TTL in which no machine stands still, so that roles change only where a test has them change.
const aWhile = 20 * time.Second

// coordinatordThree starts three nodes under one coordinator, the first of which leads.
func coordinatordThree(t *testing.T) (n *leasetest.Memory, a, b, c *clusterNode) {
	t.Helper()
	n = new(leasetest.Memory)
	way := func() lease.Coordinator { return &awayCoordinator{Memory: n} }
	a, b, c = startThree(t, aWhile, way(), way(), way())
	for v := (lease.View{}); len(v.Members) < 3; {
		var err error
		if v, err = n.Read(t.Context(), v.Revision); err != nil {
			t.Fatal(err)
		}
	}
	return n, a, b, c
}

// startThree starts three nodes, each with its way to the coordinator, and waits until the first may tell of commits.
func startThree(t *testing.T, ttl time.Duration, ra, rb, rc lease.Coordinator) (a, b, c *clusterNode) {
	t.Helper()
	by := func(n lease.Coordinator) *node.CoordinatorConfig {
		return &node.CoordinatorConfig{TTL: ttl, Client: func() lease.Coordinator { return n }}
	}
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	sa.coordinator, sb.coordinator, sc.coordinator = by(ra), by(rb), by(rc)
	a = sa.start(t, state.RolePrimary, sb, sc)
	b = sb.start(t, state.RoleSecondary, sa, sc)
	c = sc.start(t, state.RoleSecondary, sa, sb)
	b.has(t, a.st.LastTid())
	c.has(t, a.st.LastTid())
	a.tells(t)
	return a, b, c
}

// tells waits until clients of the node could be told of its last transaction.
func (s *clusterNode) tells(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	if err := s.Cleared(ctx, s.st.LastTid()); err != nil {
		t.Fatal(err)
	}
}

// leader waits until one of the nodes leads, and returns it first.
func leader(t *testing.T, b, c *clusterNode) (leads, other *clusterNode) {
	t.Helper()
	b.Await(t, "one leads", func(*admin.Status) bool { return b.IsPrimary() || c.IsPrimary() })
	if c.IsPrimary() {
		return c, b
	}
	return b, c
}

func TestTheCoordinatorReplacesAPrimaryThatIsGone(t *testing.T) {
	_, a, b, c := coordinatordThree(t)
	last := a.commits(t)
	b.has(t, last)
	c.has(t, last)
	a.End(t)
	next, other := leader(t, b, c)
	next.tells(t)
	if begin := next.keep.State().Epoch().Begin; next.epoch() < 2 || begin != last {
		t.Errorf("it leads epoch %d after %v", next.epoch(), begin)
	}
	tid := next.commits(t)
	other.has(t, tid)
	other.tells(t)

	again := a.start(t, state.RolePrimary, b.site, c.site)
	again.has(t, tid)
	again.tells(t)
	if again.IsPrimary() {
		t.Error("the former primary leads as well")
	}
}

func TestTheLeaseFollowsASwitchover(t *testing.T) {
	n, a, b, c := coordinatordThree(t)
	handOver(t, a, b)
	tid := b.commits(t)
	for _, s := range []*clusterNode{b, a, c} {
		s.has(t, tid)
		s.tells(t)
	}
	b.Await(t, "the leader lease is on record as its own", func(*admin.Status) bool {
		v, err := n.Read(t.Context(), 0)
		return err == nil && v.Holder != nil && v.Holder.Node == b.keep.State().Node && v.Record.Begun == b.epoch()
	})
	if !b.IsPrimary() || b.epoch() < 2 {
		t.Errorf("the successor leads %v, epoch %d", b.IsPrimary(), b.epoch())
	}
}

// handOver switches over, again when that fails because the successor was just connecting anew.
func handOver(t *testing.T, from, to *clusterNode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	for {
		_, err := from.Switchover(ctx, admin.SwitchoverRequest{To: to.keep.State().Node}, silent)
		if err == nil || to.IsPrimary() {
			return
		}
		if pause.For(ctx, 10*time.Millisecond); ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// The others are away until the end, so that it is the primary's own lease that is at work.
func TestCommitsAreHeldWithoutTheCoordinator(t *testing.T) {
	memory := new(leasetest.Memory)
	ra, rb, rc := &awayCoordinator{Memory: memory}, &awayCoordinator{Memory: memory}, &awayCoordinator{Memory: memory}
	rb.away.Store(true)
	rc.away.Store(true)
	a, b, c := startThree(t, lease.MinTTL, ra, rb, rc)
	ra.away.Store(true)
	a.Await(t, "its lease is over", func(*admin.Status) bool { return !a.HasLease() })
	tid := a.commits(t)
	told := make(chan error, 1)
	go func() { told <- a.Cleared(t.Context(), tid) }()
	b.has(t, tid)
	select {
	case err := <-told:
		t.Fatalf("a commit was told of without a lease: %v", err)
	default:
	}
	ra.away.Store(false)
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	if !a.IsPrimary() || b.IsPrimary() || c.IsPrimary() || a.epoch() != 1 {
		t.Error("another node leads")
	}
}

// A secondary tells of what it gets from a primary; but nothing of what it has committed itself as one, before it is
// clear that the new primary has that, too.
func TestWhatAFormerPrimaryHasAloneIsNotTold(t *testing.T) {
	_, a, b, c := coordinatordThree(t)
	for _, s := range []*clusterNode{b, c} {
		s.StopFollowing()
	}
	surplus := a.commits(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	a.Await(t, "it leads no more", func(*admin.Status) bool { return !a.IsPrimary() })
	if a.HasLease() {
		t.Errorf("%v could be told, which is not at %v", surplus, b.st.LastTid())
	}
}

// By the rules of a promotion by hand that nobody insists on: a secondary that has more rules it out, a former primary
// that has more does not.
func TestAnElectionIsRefusedWhereSomethingCouldBeLost(t *testing.T) {
	a, b, c := three(t)
	b.StopFollowing()
	more := a.commits(t)
	c.has(t, more)
	refused(t, b.Elect(t.Context(), 2, silent), admin.Unsafe, "has more")
	if b.IsPrimary() || !a.IsPrimary() {
		t.Fatal("it was elected all the same, or the primary was fenced")
	}
	c.End(t)
	if err := b.Elect(t.Context(), 2, silent); err != nil {
		t.Fatal(err)
	}
	if !b.IsPrimary() || b.epoch() != 2 {
		t.Errorf("it leads: %v, epoch %d", b.IsPrimary(), b.epoch())
	}
	a.Await(t, "the former primary leads no more", func(*admin.Status) bool { return !a.IsPrimary() })
}
