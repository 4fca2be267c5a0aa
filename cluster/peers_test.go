package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// sees waits until a node knows of all nodes what is wanted.
func (s *clusterNode) sees(t *testing.T, what string, ok func(map[string]admin.ClusterNode, *admin.Cluster) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	for {
		_, c, err := admin.FetchCluster(ctx, s.control.Dial, "")
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		byName := map[string]admin.ClusterNode{}
		for _, n := range c.Nodes {
			byName[n.Name] = n
		}
		if ok(byName, c) {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s: it never does, but %+v", what, c)
		}
	}
}

func TestEachNodeKnowsHowTheOthersAre(t *testing.T) {
	a, b, c := namedThree(t)
	last := a.commits(t)
	for _, s := range []*clusterNode{a, b, c} {
		s.sees(t, s.name+" knows of three", func(by map[string]admin.ClusterNode, doc *admin.Cluster) bool {
			ok := len(by) == 3 && len(doc.Nodes) == 3 && len(doc.Problems) == 0 && by["a"].Role == "primary"
			for name, n := range by {
				ok = ok && n.Error == nil && n.Version != "" && n.LastTid != nil && *n.LastTid == last &&
					n.Epoch != nil && n.Epoch.Number == 1 && (name == "a" || n.State == "live" && *n.Follows == "a")
			}
			return ok
		})
	}
}

// A node that has become silent is shown as it was, with its age. So the primary is missed.
func TestANodeThatIsSilentIsShownAsItWas(t *testing.T) {
	a, b, _ := namedThree(t)
	b.sees(t, "b knows of the primary", func(by map[string]admin.ClusterNode, _ *admin.Cluster) bool {
		return by["a"].Role == "primary" && by["a"].Epoch != nil
	})
	heard := time.Now()
	a.End(t)
	b.sees(t, "b misses the primary", func(by map[string]admin.ClusterNode, doc *admin.Cluster) bool {
		n, missed := by["a"], map[string]bool{}
		for _, p := range doc.Problems {
			missed[p.Code] = true
		}
		return n.Error != nil && n.Role == "primary" && n.Epoch != nil && n.Age >= time.Since(heard).Seconds()-1 &&
			missed["no_primary"] && missed["no_answer"]
	})
}

// A node at the end of a chain knows the primary, and the primary knows it.
func TestNodesOfAChainKnowEachOther(t *testing.T) {
	sa, sb, sc := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New()), newSite(t, simdisk.New())
	sa.name, sb.name, sc.name = "a", "b", "c"
	a := sa.start(t, state.RolePrimary)
	b := sb.start(t, state.RoleSecondary, sa)
	c := sc.start(t, state.RoleSecondary, sb)
	for _, s := range []*clusterNode{a, b, c} {
		s.sees(t, s.name+" knows of three", func(by map[string]admin.ClusterNode, doc *admin.Cluster) bool {
			return len(doc.Nodes) == 3 && by["a"].Role == "primary" && by["c"].State == "live" &&
				*by["c"].Follows == "b" && by["c"].Epoch != nil && by["a"].Epoch != nil && len(doc.Problems) == 0
		})
	}
}
