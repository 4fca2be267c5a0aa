package integration

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/zrsd/zrsd/cluster/lease/etcd/etcdtest"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/tlsauth/tlsauthtest"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// A member is one node of a cluster with a coordinator.
type member struct {
	*site
	*daemon.Process
	role, zeo   string
	flags       []string
	environment []string // NAME=VALUE
}

// coordinated starts an etcd and three nodes, of which the first leads.
func coordinated(t *testing.T) (*etcdtest.Server, []*member) {
	t.Helper()
	return coordinatedBy(t, func(address string) string { return address })
}

// coordinatedBy is coordinated with a way of its own for the first node to etcd.
func coordinatedBy(t *testing.T, way func(address string) string) (*etcdtest.Server, []*member) {
	t.Helper()
	etcd := etcdtest.New(t.TempDir(), nil)
	if err := etcd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Stop)
	ways := []string{way(etcd.Address), etcd.Address, etcd.Address}
	return etcd, threeMembers(t, nil, func(i int) []string { return []string{"--coordinator", "etcd://" + ways[i]} })
}

// threeMembers starts three nodes, of which the first leads, with these flags for the coordinator.
func threeMembers(t *testing.T, environment []string, coordinator func(i int) []string) []*member {
	t.Helper()
	nodes := []*member{{role: "primary"}, {role: "secondary"}, {role: "secondary"}}
	var replication []string
	for range nodes {
		replication = append(replication, freeAddress(t))
	}
	for i, m := range nodes {
		m.site, m.zeo = newSite(t, false), freeAddress(t)
		others := strings.Join(append(append([]string(nil), replication[:i]...), replication[i+1:]...), ",")
		m.environment = environment
		m.flags = append([]string{
			"--name", string(rune('a' + i)), "--replicate-to", replication[i], "--replicate-from", others,
			"--zeo", m.zeo, "--coordinator-ttl", "10s", "--sync-secondaries", "1", "--sync-names", "a,b,c",
		}, coordinator(i)...)
	}
	nodes[0].open(t).Close()
	for _, m := range nodes {
		m.start(t)
	}
	nodes[0].await(t, "all are members, and it has a lease", func(s *admin.Status) bool {
		return len(s.Coordinator.Members) == 3 && s.Coordinator.LeaseRemaining > 0
	})
	return nodes
}

func (m *member) start(t *testing.T) {
	t.Helper()
	if len(m.environment) == 0 {
		m.Process = start(t, m.role, m.site, m.flags...)
		return
	}
	args := append(append(slices.Clone(m.environment), zrsd, m.role), append(m.site.flags(), m.flags...)...)
	p, err := daemon.Start("env", m.admin(), nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	m.Process = p
	untilTheEnd(t, m.role, p)
}

func (m *member) admin() string { return filepath.Join(m.dir, "admin") }

func (m *member) await(t *testing.T, what string, cond func(*admin.Status) bool) *admin.Status {
	t.Helper()
	s, err := m.Await(within(t), what, func(s *admin.Status) bool { return s.Coordinator != nil && cond(s) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leader waits until one of the nodes leads with a lease, and returns it.
func leader(t *testing.T, nodes []*member) *member {
	t.Helper()
	ctx := within(t)
	for {
		for _, m := range nodes {
			if s, err := m.Status(ctx); err == nil && s.Role == "primary" && s.Coordinator.LeaseRemaining > 0 {
				return m
			}
			if ctx.Err() != nil {
				t.Fatal("nobody leads:", context.Cause(ctx))
			}
		}
	}
}

// client connects as a client that writes.
func (m *member) client(t *testing.T) *client.Conn {
	t.Helper()
	ctx := within(t)
	c, err := client.Dial(ctx, []string{m.zeo}, client.Options{})
	for err != nil && ctx.Err() == nil {
		c, err = client.Dial(ctx, []string{m.zeo}, client.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// commit commits an object of its own for each i, and returns what the client is told.
func commit(ctx context.Context, c *client.Conn, i int) (zodb.Tid, error) {
	txn, err := c.Begin(ctx, &zodb.TxnMeta{Description: fmt.Appendf(nil, "object %d", i)})
	if err != nil {
		return 0, err
	}
	if err := txn.Store(ctx, zodb.Oid(i), 0, []byte("N.N.")); err != nil {
		return 0, err
	}
	return txn.Commit(ctx)
}

// commits expects that a client is told that objects from..to are committed, and waits until all nodes have them.
func commits(t *testing.T, c *client.Conn, from, to int, nodes ...*member) (last zodb.Tid) {
	t.Helper()
	for i := from; i <= to; i++ {
		var err error
		if last, err = commit(within(t), c, i); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range nodes {
		mustReach(t, m.Process, last)
	}
	return last
}

// A writing client commits object after object until one fails.
type writing struct {
	begun chan struct{} // closed when it was told of the first
	ended chan struct{}
	told  []int // objects of which it was told that they are committed
}

// write begins with object 1.
func write(t *testing.T, c *client.Conn) *writing {
	t.Helper()
	ctx := within(t)
	w := &writing{begun: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for i := 1; ; i++ {
			if _, err := commit(ctx, c, i); err != nil {
				return
			}
			if w.told = append(w.told, i); i == 1 {
				close(w.begun)
			}
		}
	}()
	<-w.begun
	return w
}

// allAt expects that a node has everything that the client was told of.
func (w *writing) allAt(t *testing.T, m *member) {
	t.Helper()
	<-w.ended
	c := m.client(t)
	for _, i := range w.told {
		if _, err := c.Load(within(t), zodb.Oid(i)); err != nil {
			t.Errorf("object %d of %d, which were told to be committed: %v", i, len(w.told), err)
		}
	}
}

// TestTheCoordinatorFindsANewPrimaryForOneThatWasKilled: everything that clients were told is there, and clients can go
// on.
func TestTheCoordinatorFindsANewPrimaryForOneThatWasKilled(t *testing.T) {
	t.Parallel()
	_, nodes := coordinated(t)
	w := write(t, nodes[0].client(t))
	kill(t, nodes[0].Process)
	next := leader(t, nodes[1:])
	w.allAt(t, next)
	commits(t, next.client(t), 1_000_000, 1_000_010, nodes[1:]...)
}

// TestAPrimaryThatWasStoppedTellsNobodyOfACommitThatTheNewOneLacks: the process is stopped while a client writes, and
// goes on when another node leads.
func TestAPrimaryThatWasStoppedTellsNobodyOfACommitThatTheNewOneLacks(t *testing.T) {
	t.Parallel()
	_, nodes := coordinated(t)
	isReplacedWhileItIsStopped(t, nodes)
}

// isReplacedWhileItIsStopped stops the primary while a client writes, and lets it go on when another node leads: what
// was acknowledged is there.
func isReplacedWhileItIsStopped(t *testing.T, nodes []*member) {
	t.Helper()
	w := write(t, nodes[0].client(t))
	if err := nodes[0].Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	next := leader(t, nodes[1:])
	commits(t, next.client(t), 1_000_000, 1_000_010, nodes[1:]...)
	if err := nodes[0].Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.allAt(t, next)
}

// TestAFormerPrimaryFollowsAndLeadsAgain: nodes are started again as they were, whoever leads.
func TestAFormerPrimaryFollowsAndLeadsAgain(t *testing.T) {
	t.Parallel()
	_, nodes := coordinated(t)
	commits(t, nodes[0].client(t), 1, 3, nodes...)
	kill(t, nodes[0].Process)
	next := leader(t, nodes[1:])
	nodes[0].start(t)
	commits(t, next.client(t), 4, 6, nodes...)
	others := slices.DeleteFunc(slices.Clone(nodes), func(m *member) bool { return m == next })
	stop(t, next.Process)
	commits(t, leader(t, others).client(t), 7, 9, others...)
}

// TestCommitsAreHeldWhileTheCoordinatorIsAway: they go on to the end of the lease, then they are durable and sent to
// secondaries, and nobody hears of them; they go on when the coordinator is back, on the same primary.
func TestCommitsAreHeldWhileTheCoordinatorIsAway(t *testing.T) {
	t.Parallel()
	etcd, nodes := coordinated(t)
	c := nodes[0].client(t)
	before := commits(t, c, 1, 5, nodes...)
	etcd.Stop()
	nodes[0].await(t, "its lease is over", func(s *admin.Status) bool { return s.Coordinator.LeaseRemaining == 0 })
	type outcome struct {
		tid zodb.Tid
		err error
	}
	ctx, told := within(t), make(chan outcome, 1)
	go func() {
		tid, err := commit(ctx, c, 6)
		told <- outcome{tid, err}
	}()
	nodes[1].await(t, "it has the transaction that is held", newerThan(before))
	select {
	case o := <-told:
		t.Fatalf("told without a lease: %+v", o)
	default:
	}
	if err := etcd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := <-told
	if o.err != nil {
		t.Fatal(o.err)
	}
	for _, m := range nodes {
		mustReach(t, m.Process, o.tid)
	}
	if s := nodes[0].await(
		t,
		"it has a lease",
		func(s *admin.Status) bool { return s.Coordinator.LeaseRemaining > 0 },
	); s.Role !=
		"primary" ||
		s.Epoch.Number != 1 {
		t.Errorf("the primary became %s of epoch %d", s.Role, s.Epoch.Number)
	}
}

// TestAPrimaryThatIsCutFromTheCoordinatorIsReplaced, although it runs and the others reach it; it then follows.
// Everything that it told is at the new primary.
func TestAPrimaryThatIsCutFromTheCoordinatorIsReplaced(t *testing.T) {
	t.Parallel()
	var cut *link
	_, nodes := coordinatedBy(t, func(address string) string {
		cut = newLink(t, address)
		return cut.addr
	})
	commits(t, nodes[0].client(t), 1, 5, nodes...)
	cut.spoil(t, "timeout", towardsPrimary, map[string]any{"timeout": 0})
	cut.spoil(t, "timeout", towardsSecondary, map[string]any{"timeout": 0})
	next := leader(t, nodes[1:])
	commits(t, next.client(t), 6, 9, nodes...)
	s := nodes[0].await(t, "it follows", func(s *admin.Status) bool { return s.Role == "secondary" && s.Ready })
	if s.Coordinator.LastError == nil {
		t.Error("it does not say that it cannot reach the coordinator")
	}
}

// TestASwitchoverTakesTheLeaseWithIt: the new primary tells of commits at once, and the former one follows.
func TestASwitchoverTakesTheLeaseWithIt(t *testing.T) {
	t.Parallel()
	_, nodes := coordinated(t)
	commits(t, nodes[0].client(t), 1, 3, nodes...)
	out, err := exec.CommandContext(within(t), zrsd, "switchover", filepath.Join(nodes[0].dir, "admin"),
		filepath.Join(nodes[1].dir, "admin")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	commits(t, nodes[1].client(t), 4, 6, nodes...)
	s := nodes[0].await(t, "it follows, and hears who leads", func(s *admin.Status) bool {
		return s.Role == "secondary" && s.Ready && s.Coordinator.Leader != nil && *s.Coordinator.Leader == "b"
	})
	if s.Epoch.Number != 2 || *s.Coordinator.Epoch != 2 {
		t.Errorf("the epoch is %d, at the coordinator %d", s.Epoch.Number, *s.Coordinator.Epoch)
	}
}

// TestNobodyIsPromotedInMaintenance, and somebody is when it is over.
func TestNobodyIsPromotedInMaintenance(t *testing.T) {
	t.Parallel()
	etcd, nodes := coordinated(t)
	commits(t, nodes[0].client(t), 1, 3, nodes...)
	maintenance := func(what string) string {
		out, err := exec.CommandContext(within(t), zrsd, "maintenance", what, "--coordinator", "etcd://"+etcd.Address,
			"--data", nodes[1].data, "--why", "new disks").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	maintenance("on")
	if said := maintenance("status"); !strings.Contains(said, "is on") || !strings.Contains(said, "new disks") {
		t.Errorf("it says %s", said)
	}
	kill(t, nodes[0].Process)
	for _, m := range nodes[1:] {
		m.await(t, "it stays a secondary", func(s *admin.Status) bool {
			return s.Coordinator.Leader == nil && s.Coordinator.Maintenance &&
				strings.Contains(*s.Coordinator.Doing, "maintenance")
		})
	}
	maintenance("off")
	leader(t, nodes[1:])
}

// TestTheCoordinatorIsReachedWithCertificates: an etcd that lets in nobody without a certificate.
func TestTheCoordinatorIsReachedWithCertificates(t *testing.T) {
	t.Parallel()
	ca := tlsauthtest.NewAuthority(t, t.TempDir(), "ca")
	server, own := ca.Issue(t, "localhost"), ca.Issue(t, "node")
	etcd := etcdtest.New(t.TempDir(), func(cfg *embed.Config) {
		cfg.ListenClientUrls[0].Scheme = "https"
		cfg.ClientTLSInfo = transport.TLSInfo{
			CertFile: server.Certificate, KeyFile: server.Key, TrustedCAFile: server.Authority, ClientCertAuth: true,
		}
	})
	if err := etcd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Stop)
	_, port, err := net.SplitHostPort(etcd.Address)
	if err != nil {
		t.Fatal(err)
	}
	user := filepath.Join(t.TempDir(), "user")
	args := []string{
		"maintenance",
		"status",
		"--coordinator",
		"etcd://localhost:" + port,
		"--coordinator-prefix",
		"/zrsd/x",
		"--coordinator-tls-ca",
		own.Authority,
	}
	if out, err := exec.CommandContext(within(t), zrsd, args...).CombinedOutput(); err == nil {
		t.Errorf("let in without a certificate: %s", out)
	}
	args = append(args, "--coordinator-tls-cert", own.Certificate, "--coordinator-tls-key", own.Key)
	out, err := exec.CommandContext(within(t), zrsd, args...).CombinedOutput()
	if err != nil || string(out) != "maintenance is off\n" {
		t.Errorf("%v: %s", err, out)
	}
	args = append(args, "--coordinator-user-file", user)
	out, err = exec.CommandContext(within(t), zrsd, args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), user) {
		t.Errorf("a file that is missing: %v: %s", err, out)
	}
}
