package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster/lease/etcd/etcdtest"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/drill/zeoclients"
	"github.com/zrsd/zrsd/zodb"
)

// TestWhatNoRealClientWasToldOfGoesWithoutAPerson: commits wait for a secondary, and the primary is killed with commits
// of real clients that no secondary has, which another node takes the place of. Each former primary sets them aside by
// itself and follows, and nothing that a client was told of is lost.
func TestWhatNoRealClientWasToldOfGoesWithoutAPerson(t *testing.T) {
	t.Run("promoted by hand", func(t *testing.T) {
		nodes := servedThree(t, true, "sync-secondaries 1 of a, b, c")
		clients := crowd(t, nodes, "zodb")
		lead := nodes[0]
		for range 2 {
			rest := slices.DeleteFunc(slices.Clone(nodes), func(n *served) bool { return n == lead })
			strand(t, lead, rest)
			next := furthest(t, rest)
			zrsdDoes(t, "promote", next.admin())
			mustComeBack(t, lead, clients)
			lead = next
		}
	})
	t.Run("promoted by the coordinator", func(t *testing.T) {
		etcd := etcdtest.New(t.TempDir(), nil)
		if err := etcd.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(etcd.Stop)
		nodes := servedThree(t, false, "coordinator etcd://"+etcd.Address, "coordinator-ttl 5s",
			"sync-secondaries 1 of a, b, c")
		clients := crowd(t, nodes, "zeo5")
		strand(t, nodes[0], nodes[1:])
		mustComeBack(t, nodes[0], clients)
	})
}

// furthest is the node with the latest transaction.
func furthest(t *testing.T, nodes []*served) *served {
	t.Helper()
	var first *served
	last := zodb.Tid(0)
	for _, n := range nodes {
		st, err := n.Await(within(t), "it is open", func(st *admin.Status) bool { return st.LastTid() != 0 })
		if err != nil {
			t.Fatal(err)
		}
		if st.LastTid() > last {
			first, last = n, st.LastTid()
		}
	}
	return first
}

// strand kills a primary with commits that wait for secondaries and that none of these has, and leaves them running.
func strand(t *testing.T, lead *served, secondaries []*served) {
	t.Helper()
	for _, n := range secondaries {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	sent, err := lead.Status(within(t)) // they may have everything up to here
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lead.Await(within(t), "a commit waits", func(st *admin.Status) bool {
		return st.LastTid() > sent.LastTid()
	}); err != nil {
		t.Fatal(err)
	}
	if err := lead.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, n := range secondaries {
		n.start(t)
	}
}

// mustComeBack starts a former primary again, which needs nobody for that, and no client has lost anything.
func mustComeBack(t *testing.T, n *served, clients *zeoclients.Clients) {
	t.Helper()
	mustCommit(t, []*zeoclients.Clients{clients}, time.Now())
	n.start(t)
	st, err := n.Await(within(t), "it follows", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "live"
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(st.SetAside) != 1 || !strings.Contains(st.SetAside[0].Why, "no client was told") {
		t.Errorf("%s says that it has set aside %+v", n.name, st.SetAside)
	}
	mustCommit(t, []*zeoclients.Clients{clients}, time.Now())
	if lost := clients.Lost(); len(lost) > 0 {
		t.Errorf("clients were told of what is not there: %s", strings.Join(lost, "\n"))
	}
}
