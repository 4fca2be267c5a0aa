package admin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/warning"
)

// clusterNode is one that answers: a primary without a node to follow, otherwise a secondary.
func clusterNode(name, follows string, epoch uint64) admin.ClusterNode {
	n := admin.ClusterNode{Address: name + ":5000", Name: name, NodeID: "id of " + name, Source: "answer",
		Heard: admin.Known(time.Unix(100, 0)), Epoch: &admin.Epoch{Number: epoch, By: admin.Known("a")}}
	n.Role, n.Version, n.Ready = "primary", "v1", admin.Known(true)
	if follows != "" {
		n.Role, n.State, n.Follows = "secondary", "live", &follows
	}
	return n
}

func codes(c admin.Cluster) (list []string) {
	for _, p := range c.Problems {
		list = append(list, p.Code)
	}
	return list
}

func TestWhatNodesDoNotAgreeOnIsAProblem(t *testing.T) {
	a, b, c := clusterNode("a", "", 2), clusterNode("b", "a", 2), clusterNode("c", "a", 2)
	for name, s := range map[string]struct {
		change func(a, b, c *admin.ClusterNode)
		want   []string
	}{
		"all agree":        {func(_, _, _ *admin.ClusterNode) {}, nil},
		"two primaries":    {func(_, b, _ *admin.ClusterNode) { b.Role = "primary" }, []string{"two_primaries"}},
		"a fenced primary": {func(_, b, _ *admin.ClusterNode) { b.Role, b.Fenced = "primary", true }, nil},
		"no primary": {func(a, _, _ *admin.ClusterNode) { a.Error = admin.Known("connection refused") },
			[]string{"no_primary", "no_answer"}},
		"an old epoch": {func(_, b, _ *admin.ClusterNode) { b.Epoch.Number = 1 }, []string{"epochs_differ"}},
		"another history": {func(_, b, _ *admin.ClusterNode) { b.Epoch.By = admin.Known("b") },
			[]string{"histories_differ"}},
		"another storage": {func(a, b, _ *admin.ClusterNode) { a.Storage, b.Storage = "x", "y" },
			[]string{"storages_differ"}},
		"standalone":      {func(_, b, _ *admin.ClusterNode) { b.Role = "standalone" }, []string{"standalone"}},
		"another version": {func(_, b, _ *admin.ClusterNode) { b.Version = "v2" }, []string{"versions_differ"}},
		"a copy": {func(_, b, c *admin.ClusterNode) { c.NodeID, b.Run, c.Run = b.NodeID, "1", "2" },
			[]string{"copies"}},
	} {
		a, b, c := a, b, c
		for _, n := range []*admin.ClusterNode{&a, &b, &c} {
			n.Epoch = admin.Known(*n.Epoch)
		}
		s.change(&a, &b, &c)
		got := admin.Join(time.Unix(100, 0), []admin.ClusterNode{a, b, c})
		if diff := cmp.Diff(s.want, codes(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A node that is asked at two addresses is one, and one that nobody can ask is known by whom it follows.
func TestNodesAreJoinedByWhoTheyAre(t *testing.T) {
	a, again := clusterNode("a", "", 1), clusterNode("a", "", 1)
	again.Address = "192.0.2.1:5000"
	silent := admin.ClusterNode{Address: "b:5000", Source: "nothing", Error: admin.Known("no route")}
	a.Followers = []admin.Follower{
		{Name: "b", NodeID: "id of b", Address: "b:5000", State: "disconnected"},
		{Name: "old", State: "live"}, // of zc.zrs
	}
	got := admin.Join(time.Unix(160, 0), []admin.ClusterNode{a, again, silent})
	var names []string
	for _, n := range got.Nodes {
		names = append(names, n.Name+" "+n.Source)
	}
	if want := []string{"a answer", "b told", "old told"}; !slices.Equal(names, want) {
		t.Errorf("the nodes are %q, want %q", names, want)
	}
	if b := got.Nodes[1]; b.Error == nil || b.Age != 60 || *b.Follows != "a" {
		t.Errorf("a node of which only its primary knows is shown as %+v", b)
	}
}

func TestAReportThatDoesNotFitIsSentWithoutFollowers(t *testing.T) {
	r := admin.Report{Version: "v1", Followers: []admin.Follower{{Name: strings.Repeat("x", 1000)}}}
	if got := admin.ReadReport(r.Encode(500)); got.Version != "v1" || len(got.Followers) != 0 {
		t.Errorf("what was read is %+v", got)
	}
	if b := r.Encode(10); b != nil {
		t.Errorf("into 10 bytes it wrote %d", len(b))
	}
}

func TestWhatAPeerSaysIsBounded(t *testing.T) {
	long := strings.Repeat("x", 2000) + "\x1b[2J"
	r := admin.Report{Version: long, NotReady: &long}
	for range 1000 {
		r.Followers = append(r.Followers, admin.Follower{Name: "f"})
		r.Warnings = append(r.Warnings, warning.Warning{Text: long})
	}
	got := admin.ReadReport(r.Encode(1 << 30))
	switch {
	case len(got.Version) > 1010 || len(*got.NotReady) > 1010 || len(got.Warnings[0].Text) > 1010:
		t.Error("long texts are taken")
	case len(got.Followers) > 64 || len(got.Warnings) > 16:
		t.Errorf("%d followers and %d warnings are taken", len(got.Followers), len(got.Warnings))
	case strings.Contains(got.Version+got.Warnings[0].Text, "\x1b"):
		t.Error("control characters are taken")
	}
	if r := admin.ReadReport([]byte("{")); r.Version != "" {
		t.Error("half a report is read")
	}
}

// What a node said before the epoch of another one began contradicts nothing; what it says afterwards does. A clock
// that is ahead hides nothing.
func TestAnAnswerOfBeforeTheEpochIsNoContradiction(t *testing.T) {
	begun := time.Date(2026, 11, 29, 19, 45, 37, 0, time.UTC)
	for name, c := range map[string]struct {
		heard, top time.Duration // after the beginning
		want       []string
	}{
		"said before":               {-time.Second, time.Second, nil},
		"said in the same second":   {900 * time.Millisecond, time.Second, nil},
		"said afterwards":           {3 * time.Second, 3 * time.Second, []string{"two_primaries", "epochs_differ"}},
		"by a clock that is behind": {-time.Hour, -time.Hour, []string{"two_primaries", "epochs_differ"}},
	} {
		a, b := clusterNode("a", "", 1), clusterNode("b", "", 2)
		b.Epoch.At = admin.Known(begun.Format(time.RFC3339))
		a.Heard, b.Heard = admin.Known(begun.Add(c.heard)), admin.Known(begun.Add(c.top))
		now := begun.Add(max(c.heard, c.top))
		got := codes(admin.Join(now, []admin.ClusterNode{b, a}))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		a.Role, b.Role = "secondary", "secondary" // b was primary, and a has become that since it answered
		got = codes(admin.Join(now, []admin.ClusterNode{b, a}))
		if slices.Contains(got, "no_primary") != (c.want != nil) {
			t.Errorf("%s, of a former primary: %v", name, got)
		}
	}
}
