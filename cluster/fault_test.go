package cluster_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/leasetest"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// tries commits as the ZEO server does, which waits for the disk apart from the lock.
func (s *clusterNode) tries(t *testing.T) error {
	t.Helper()
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		return err
	}
	serial, _ := s.st.GetTid(1)
	if err := txn.Store(1, serial, []byte("state")); err != nil {
		return errors.Join(err, txn.Abort())
	}
	c, err := txn.Enqueue(t.Context())
	if err != nil {
		return errors.Join(err, txn.Abort())
	}
	<-c.Done()
	return c.Err()
}

// failing lets operations of a kind on the data of a node fail, once or until the end.
func (s *clusterNode) failing(kind simdisk.Kind, path string, with error) {
	s.disk.(*simdisk.Disk).FailWhen(func(op simdisk.Op) error {
		if op.Kind == kind && strings.HasPrefix(op.Path, path) {
			return with
		}
		return nil
	})
}

// quickly starts three nodes under a coordinator that notices soon.
func quickly(t *testing.T) (a, b, c *clusterNode) {
	t.Helper()
	memory := new(leasetest.Memory)
	way := func() lease.Coordinator { return &awayCoordinator{Memory: memory} }
	return startThree(t, lease.MinTTL, way(), way(), way())
}

func TestAPrimaryWhoseDiskHasFailedMakesWay(t *testing.T) {
	a, b, c := quickly(t)
	last := a.st.LastTid()
	a.failing(simdisk.Sync, "Data.fs", syscall.EIO)
	if err := a.tries(t); err == nil {
		t.Fatal("the disk has not failed")
	}
	next, _ := leader(t, b, c)
	a.disk.(*simdisk.Disk).Heal() // not before: it could lead again itself
	next.tells(t)
	if tid := next.commits(t); tid <= last {
		t.Errorf("committed %v after %v", tid, last)
	}
	a.Await(t, "it leads no more", func(*admin.Status) bool { return !a.IsPrimary() })
	a.Await(t, "it is opened again and follows", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "live"
	})
}

func TestAPrimaryWhoseDiskIsFullMakesWay(t *testing.T) {
	a, b, c := quickly(t)
	a.failing(simdisk.Write, "Data.fs", syscall.ENOSPC) // the state file as well
	for a.Access() == zeo.Writable {                    // clients go on trying, as they do
		if err := a.tries(t); !errors.Is(err, syscall.ENOSPC) && a.Access() == zeo.Writable {
			t.Fatalf("got %v", err)
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // how often clients try, not a wait
	}
	next, _ := leader(t, b, c)
	next.tells(t)
	a.disk.(*simdisk.Disk).Heal() // somebody has made room
	a.follows(t, next)
	a.has(t, next.commits(t))
}

// Nobody else can serve: the leader lease is kept, and commits go on as soon as there is room.
func TestAPrimaryWithAFaultKeepsTheLeaseWhereNobodyIsBetter(t *testing.T) {
	a, b, c := quickly(t)
	b.End(t)
	c.End(t)
	a.failing(simdisk.Write, "Data.fs", syscall.ENOSPC)
	for a.FaultReason() == "" {
		_ = a.tries(t)
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // how often clients try, not a wait
	}
	a.Unready(t, "no transaction fitted on the disk of Data.fs")
	a.disk.(*simdisk.Disk).Heal()
	if err := a.tries(t); err != nil {
		t.Fatal(err)
	}
	a.tells(t)
	a.Await(t, "it is ready", nodetest.Ready)
	if a.epoch() != 1 || !a.IsPrimary() {
		t.Errorf("epoch %d", a.epoch())
	}
}

func TestAPrimaryThatIsCutOffFromItsSecondariesMakesWay(t *testing.T) {
	memory := new(leasetest.Memory)
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	for name, s := range map[string]*site{"a": sa, "b": sb, "c": sc} {
		s.name = name
		s.sync = cluster.SyncConfig{Required: 1, Names: []string{"a", "b", "c"}, Timeout: 100 * time.Millisecond}
		s.coordinator = &node.CoordinatorConfig{
			TTL:    lease.MinTTL,
			Client: func() lease.Coordinator { return &awayCoordinator{Memory: memory} },
		}
	}
	a := sa.start(t, state.RolePrimary, sb, sc)
	b := sb.start(t, state.RoleSecondary, sa, sc)
	c := sc.start(t, state.RoleSecondary, sa, sb)
	a.tells(t)
	for _, s := range []*clusterNode{b, c} {
		s.has(t, a.st.LastTid())
	}
	if err := os.Rename(a.to.String(), a.to.String()+".away"); err != nil { // nobody can connect to it any more
		t.Fatal(err)
	}
	a.Renew() // the links to its secondaries are cut
	surplus := a.commits(t)
	var told atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		told.Store(a.Cleared(ctx, surplus) == nil && a.IsPrimary())
	}()
	next, other := leader(t, b, c)
	next.clears(t)
	other.has(t, next.st.LastTid())
	if told.Load() {
		t.Errorf("%v was told of, which no secondary has", surplus)
	}
	cancel()
	<-waits
}

// Without a coordinator it is a person who acts: the promotion needs no --force where nothing is lost by it.
func TestAPrimaryThatTakesNothingIsReplacedByHand(t *testing.T) {
	a, b, c := three(t)
	b.StopFollowing()
	surplus := a.commits(t)
	c.has(t, surplus)
	a.failing(simdisk.Sync, "Data.fs", syscall.EIO)
	if err := a.tries(t); err == nil {
		t.Fatal("the disk has not failed")
	}
	a.Unready(t, "takes no more transactions since the disk failed")
	a.disk.(*simdisk.Disk).Heal()
	_, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent)
	refused(t, err, admin.Unsafe, "has more")
	change, err := c.Promote(t.Context(), admin.PromoteRequest{}, silent)
	if err != nil {
		t.Fatal(err)
	}
	if len(change.Warnings) != 1 || !strings.Contains(change.Warnings[0], "takes no transactions") {
		t.Errorf("warned of %q", change.Warnings)
	}
	c.commits(t)
	a.Await(t, "it is opened again and follows", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "live"
	})
}

// A primary that cannot write down that another one leads takes no transactions either, and writes it when it can.
func TestAPrimaryThatCannotSaveItsStateStopsAllTheSame(t *testing.T) {
	a, b, _ := three(t)
	a.failing(simdisk.Create, "Data.fs.zrsd", syscall.ENOSPC)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	if a.Access() != zeo.ReadOnly || a.keep.State().Highest() != 1 {
		t.Errorf("access %v, written is %d", a.Access(), a.keep.State().Highest())
	}
	a.disk.(*simdisk.Disk).Heal()
	a.follows(t, b)
}

// full leaves so much room on the disk of a node.
func (s *clusterNode) full(room int64) {
	d := s.disk.(*simdisk.Disk)
	d.SetCapacity(1 << 40)
	free, _ := d.Free("")
	d.SetCapacity(1<<40 - free + room)
}

// Nobody commits, and a primary whose disk is full says so and makes way, for the one that has room. It does not lead
// again before it has room itself.
func TestAnIdlePrimaryWhoseDiskIsFullMakesWayForRoom(t *testing.T) {
	a, b, c := quickly(t)
	b.full(1 << 20) // nearly full: it has to follow, and would be asked first
	if b.keep.Node() > c.keep.Node() {
		b, c = c, b
		b.full(1 << 20)
		c.disk.(*simdisk.Disk).SetCapacity(0)
	}
	a.full(100)
	next, _ := leader(t, b, c)
	next.tells(t)
	if next != c {
		t.Error("the one whose disk is nearly full leads")
	}
	a.disk.(*simdisk.Disk).SetCapacity(0)
	a.follows(t, next)
	next.tells(t)
}

// Of nodes whose disks are all full nobody makes way: the leader lease would go round.
func TestAnIdlePrimaryWhoseDiskIsFullStaysWhereNobodyHasRoom(t *testing.T) {
	a, b, c := quickly(t)
	b.full(1 << 20)
	c.full(1 << 20)
	a.full(100)
	a.Unready(t, "no transaction fitted on the disk of Data.fs")
	if a.FaultReason() == "" || !a.IsPrimary() || a.epoch() != 1 {
		t.Errorf("it leads %v, epoch %d", a.IsPrimary(), a.epoch())
	}
	a.disk.(*simdisk.Disk).SetCapacity(0)
	a.Await(t, "it is ready, and nobody has committed", nodetest.Ready)
	a.tells(t)
	if a.epoch() != 1 {
		t.Errorf("epoch %d", a.epoch())
	}
}
