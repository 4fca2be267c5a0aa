package node

import (
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/packplan"
)

// leader is a primary of an epoch, which gives the turn to a node.
func leader(epoch uint64, turn string) admin.ClusterNode {
	return admin.ClusterNode{Name: "db1", Epoch: &admin.Epoch{Number: epoch}, Report: admin.Report{
		Role: "primary", Packs: &packplan.State{Turn: &packplan.Turn{Node: turn}},
	}}
}

func TestOnlyThePrimaryOfTheHighestEpochGivesTurns(t *testing.T) {
	own := "id 2"
	gone, fenced, former := leader(9, own), leader(9, own), leader(9, own)
	gone.Error, fenced.Fenced, former.Role = admin.Known("no answer"), true, "secondary"
	for name, c := range map[string]struct {
		nodes []admin.ClusterNode
		mine  bool
	}{
		"nobody":                 {nil, false},
		"its own":                {[]admin.ClusterNode{leader(1, own)}, true},
		"another's":              {[]admin.ClusterNode{leader(1, "id 3")}, false},
		"of a lower epoch":       {[]admin.ClusterNode{leader(1, own), leader(2, "id 3")}, false},
		"of the highest epoch":   {[]admin.ClusterNode{leader(2, own), leader(1, "id 3")}, true},
		"silent, fenced, former": {[]admin.ClusterNode{gone, fenced, former}, false},
	} {
		if got := turnOf(c.nodes, &own); (got != nil) != c.mine {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if turnOf([]admin.ClusterNode{leader(1, "")}, nil) != nil {
		t.Error("a node without an id has no turn")
	}
}

// No node packs while another one is out, behind, or takes a copy.
func TestWhatKeepsAClusterFromPacking(t *testing.T) {
	live := func(change func(n *admin.ClusterNode)) *admin.ClusterNode {
		n := &admin.ClusterNode{Name: "db2", Report: admin.Report{Role: "secondary", State: "live"}}
		change(n)
		return n
	}
	for want, n := range map[string]*admin.ClusterNode{
		"":             live(func(*admin.ClusterNode) {}),
		"not answer":   live(func(n *admin.ClusterNode) { n.Error = admin.Known("refused") }),
		"primary, too": live(func(n *admin.ClusterNode) { n.Role = "primary" }),
		"but seeding":  live(func(n *admin.ClusterNode) { n.State = "seeding" }),
		"but waiting":  live(func(n *admin.ClusterNode) { n.State = "waiting" }),
		"40 seconds":   live(func(n *admin.ClusterNode) { n.Lag.Seconds = admin.Known(40.0) }),
		"db4 is seeding": live(func(n *admin.ClusterNode) {
			n.Followers = []admin.Follower{{Name: "db4", State: "seeding"}}
		}),
	} {
		if got := peerHindrance(n); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := peerHindrance(live(func(n *admin.ClusterNode) { n.State, n.Spare = "stopped", true })); got != "" {
		t.Errorf("a spare that is not needed: %s", got)
	}
	for want, st := range map[string]admin.Status{
		"":                {Secondaries: []admin.Secondary{{Name: "db2", State: "live"}}},
		"db2 is not live": {Secondaries: []admin.Secondary{{Name: "db2", State: "catching-up"}}},
		"db2 is 31 seconds": {Secondaries: []admin.Secondary{{State: "live", Name: "db2",
			Lag: admin.Lag{Seconds: admin.Known(31.0)}}}},
		"db2 is not connected": {Disconnected: []admin.Secondary{{Name: "db2"}}},
	} {
		if got := secondaryHindrance(&st, nil); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, st := range map[string]admin.Status{
		"not open": {Closed: true}, "no transactions": {Fault: admin.Known("disk")}, "not clear": {Fenced: true},
		"frozen": {Frozen: true}, "no lease": {Coordinator: &admin.Coordinator{}},
	} {
		if got := ownHindrance(&st); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Where the times of several storages of one process meet, one is packed after the other.
func TestTheStoragesOfAProcessArePackedOneAfterTheOther(t *testing.T) {
	process, _ := sample(t, nil)
	members, err := process.members()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	turnEnded := func() bool { asked++; return false }
	packerOf := func(m *member) *packer { return &packer{c: m.c, plan: new(packplan.Plan)} }
	one, two := packerOf(members[0]), packerOf(members[1])
	one.pack(t.Context(), nil, func() bool {
		if two.pack(t.Context(), nil, turnEnded) || asked != 0 || two.plan.Claimed() {
			t.Error("two storages of a process claimed their turns at once")
		}
		return false
	})
	if two.pack(t.Context(), nil, turnEnded); asked != 1 {
		t.Error("a storage does not come after the other one has ended")
	}
}
