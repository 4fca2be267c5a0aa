package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster/lease/etcd/etcdtest"
	"github.com/zrsd/zrsd/integration/grave"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/drill/zeoclients"
)

// A served node has a configuration file, which says in which encoding it speaks to ZEO clients.
type served struct {
	*site
	*daemon.Process
	name, replication, zeo string
	conf                   string
}

// servedThree starts a primary and two secondaries, with what more is to be in <zrs>.
func servedThree(t *testing.T, msgpack bool, more ...string) []*served {
	t.Helper()
	var nodes []*served
	for _, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, &served{
			site: newSite(t, false), name: name, replication: freeAddress(t), zeo: freeAddress(t),
		})
	}
	nodes[0].open(t).Close()
	for i, n := range nodes {
		var others []string
		for _, o := range slices.Delete(slices.Clone(nodes), i, i+1) {
			others = append(others, o.replication)
		}
		role := "members"
		if i > 0 {
			role = "replicate-from"
		}
		n.conf = fmt.Sprintf("<zeo>\naddress %s\nmsgpack %v\n</zeo>\n<admin>\naddress %s\n</admin>\n<zrs 1>\nname %s\n"+
			"replicate-to %s\n%s %s\n%s\n<filestorage>\npath %s\n</filestorage>\n</zrs>\n", n.zeo, msgpack, n.admin(),
			n.name, n.replication, role, strings.Join(others, ","), strings.Join(more, "\n"), n.data)
		if err := os.WriteFile(n.file(), []byte(n.conf), 0o600); err != nil {
			t.Fatal(err)
		}
		n.start(t)
	}
	_, err := nodes[0].Await(within(t), "both secondaries are live", func(st *admin.Status) bool {
		return len(st.Secondaries) == 2 && st.Secondaries[0].State == "live" && st.Secondaries[1].State == "live"
	})
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

func (n *served) admin() string { return filepath.Join(n.dir, "admin") }
func (n *served) file() string  { return filepath.Join(n.dir, "zrsd.conf") }

func (n *served) start(t *testing.T, flags ...string) {
	t.Helper()
	p, err := daemon.StartConfigured(zrsd, n.admin(), nil, append([]string{"serve", "-C", n.file()}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	n.Process = p
	untilTheEnd(t, n.name, p)
}

// untilTheEnd waits until a process answers, and ends it with the test, which shows its log where it has failed.
func untilTheEnd(t *testing.T, name string, p *daemon.Process) {
	t.Helper()
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.Log().Tail())
		}
	})
	if err := p.Up(within(t)); err != nil {
		t.Fatal(err)
	}
}

// crowds are real clients of both versions that have all committed.
func crowds(t *testing.T, nodes []*served) []*zeoclients.Clients {
	t.Helper()
	var all []*zeoclients.Clients
	for _, environment := range []string{"zodb", "zeo5"} {
		all = append(all, crowd(t, nodes, environment))
	}
	return all
}

// crowd are real clients of one version that have all committed. Those of two versions share their objects, so only a
// crowd that is alone knows what was lost.
func crowd(t *testing.T, nodes []*served, environment string) *zeoclients.Clients {
	t.Helper()
	c, err := zeoclients.Start(interpreter(t, environment), 50*time.Millisecond,
		nodes[0].zeo, nodes[1].zeo, nodes[2].zeo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !t.Failed() && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	mustCommit(t, []*zeoclients.Clients{c}, time.Now())
	return c
}

// mustCommit waits until all clients have committed after a time.
func mustCommit(t *testing.T, all []*zeoclients.Clients, after time.Time) {
	t.Helper()
	for _, c := range all {
		if err := c.AwaitAll(within(t), after); err != nil {
			t.Fatal(err)
		}
		t.Logf("ZEO %s: first commits after it: %v", c.Version, c.First(after))
	}
}

// A death is what becomes of the address of a dead node; nil: it refuses connections.
type death func(ctx context.Context, addr string) (*grave.Grave, error)

// buried does that to the addresses of a node.
func (n *served) buried(t *testing.T, how death) {
	t.Helper()
	if how == nil {
		return
	}
	for _, addr := range []string{n.zeo, n.replication} {
		g, err := how(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRealClientsFindTheNewPrimary: clients of ZEO 6 and 5, plain, with read-only-fallback and with several threads,
// all commit again after the primary was killed and another node promoted, whatever its address does then. The former
// primary stays away.
func TestRealClientsFindTheNewPrimary(t *testing.T) {
	for name, dead := range map[string]death{"refuses": nil, "is silent": grave.Silent, "closes": grave.Closing} {
		for _, msgpack := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, msgpack %v", name, msgpack), func(t *testing.T) {
				nodes := servedThree(t, msgpack, "sync-secondaries 1 of a, b, c") // so the others must follow it, too
				clients := crowds(t, nodes)
				if err := nodes[0].Kill(); err != nil {
					t.Fatal(err)
				}
				nodes[0].buried(t, dead)
				next := []*served{nodes[1], nodes[2]}
				if msgpack { // the one that clients are not waiting at
					slices.Reverse(next)
				}
				promoteOne(t, next)
				mustCommit(t, clients, time.Now())
			})
		}
	}
}

// promoteOne promotes the first node, or the second one where that has more, as the first then says.
func promoteOne(t *testing.T, nodes []*served) {
	t.Helper()
	out, err := exec.CommandContext(within(t), zrsd, "promote", nodes[0].admin()).CombinedOutput()
	switch {
	case err == nil:
	case strings.Contains(string(out), "not promoted"):
		zrsdDoes(t, "promote", nodes[1].admin())
	default:
		t.Fatalf("%v\n%s", err, out)
	}
}

// zrsdDoes runs zrsd, which must succeed.
func zrsdDoes(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(within(t), zrsd, args...).CombinedOutput(); err != nil {
		t.Fatalf("zrsd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestRealClientsFindThePrimaryOfTheCoordinator is the same with a coordinator, in sync mode.
func TestRealClientsFindThePrimaryOfTheCoordinator(t *testing.T) {
	t.Parallel()
	etcd := etcdtest.New(t.TempDir(), nil)
	if err := etcd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Stop)
	nodes := servedThree(
		t,
		true,
		"coordinator etcd://"+etcd.Address,
		"coordinator-ttl 5s",
		"sync-secondaries 1 of a, b, c",
	)
	clients := crowds(t, nodes)
	if err := nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	nodes[0].buried(t, grave.Silent)
	mustCommit(t, clients, time.Now())
}

// TestRealClientsFollowASwitchover: a primary that hands over disconnects those who write, and nobody is left behind.
func TestRealClientsFollowASwitchover(t *testing.T) {
	t.Parallel()
	nodes := servedThree(t, false)
	clients := crowds(t, nodes)
	for i := range 3 {
		zrsdDoes(t, "switchover", nodes[i].admin(), nodes[(i+1)%3].admin())
		mustCommit(t, clients, time.Now())
	}
}
