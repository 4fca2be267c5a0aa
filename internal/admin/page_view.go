package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/warning"
)

// A pageView is what the page shows. All of it is text, which the template escapes.
type pageView struct {
	Node     *Status
	Query    string // of links to data of the same storage
	Storages []storageLink
	Verdict  verdict
	Warnings []pageWarning
	Nodes    []pageNode
	Tiles    []tile
	Charts   []chart
	Clients  pageClients
	Facts    []fact

	Cluster Cluster
	rates   rates
	full    []pageDisk
}

type storageLink struct {
	Name    string
	Current bool
}

// A verdict is how all is, in one line.
type verdict struct{ Class, Short, Text string }

// A pageWarning is one thing to look at.
type pageWarning struct{ Class, Severity, Node, Text, Since, Cure string }

// The classes of page.css for how good something is.
const (
	good = "good"
	warn = "warn"
	bad  = "bad"
)

// RoleText is what the node is.
func (v *pageView) RoleText() string {
	if v.Node.Epoch == nil {
		return v.Node.Role
	}
	return fmt.Sprintf("%s in epoch %d", v.Node.Role, v.Node.Epoch.Number)
}

// criticalProblems are those that keep clients from working, or put data at risk.
var criticalProblems = []string{"no_primary", "two_primaries", "histories_differ", "storages_differ", "copies",
	"standalone"}

// warnings lists what nodes do not agree on, then what this node warns of, then the others.
func (v *pageView) warnings() {
	for _, p := range v.Cluster.Problems {
		w := pageWarning{Class: warn, Severity: string(warning.Minor), Text: p.Text}
		if slices.Contains(criticalProblems, p.Code) {
			w.Class, w.Severity = bad, string(warning.Critical)
		}
		v.Warnings = append(v.Warnings, w)
	}
	several := len(v.Cluster.Nodes) > 1
	for i := range v.Cluster.Nodes {
		n := &v.Cluster.Nodes[i]
		if n.Error != nil {
			continue // what it warned of then may be over
		}
		for _, found := range n.Warnings {
			w := pageWarning{Class: classOf(found.Severity), Severity: string(found.Severity), Text: found.Text,
				Cure: found.Cure}
			if several {
				w.Node = cmp.Or(n.Name, n.Address)
			}
			if !found.Since.IsZero() {
				w.Since = timeText(&found.Since)
			}
			v.Warnings = append(v.Warnings, w)
		}
	}
	slices.SortStableFunc(v.Warnings, func(a, b pageWarning) int { return cmp.Compare(a.Class, b.Class) }) // bad, warn
	v.Verdict = v.judge()
}

func classOf(s warning.Severity) string {
	if s == warning.Critical {
		return bad
	}
	return warn
}

// judge says how all is.
func (v *pageView) judge() verdict {
	critical := 0
	for _, w := range v.Warnings {
		if w.Class == bad {
			critical++
		}
	}
	switch {
	case critical > 0:
		return verdict{bad, "critical", fmt.Sprintf("Act now: %s, the worst: %s", things(len(v.Warnings)),
			v.Warnings[0].Text)}
	case !v.Node.Ready:
		return verdict{bad, "not ready", "This node is not ready: " + orUnknown(v.Node.NotReady)}
	case len(v.Warnings) > 0:
		return verdict{warn, things(len(v.Warnings)), "It works, with " + things(len(v.Warnings)) + " to look at"}
	}
	return verdict{good, "all is well", "All is well: " + v.wellText()}
}

func things(n int) string { return plural.Of(n, "thing") }

func orUnknown(s *string) string {
	if s == nil {
		return "it does not say why"
	}
	return *s
}

// wellText says what is well.
func (v *pageView) wellText() string {
	secondaries, primary := 0, ""
	for i := range v.Cluster.Nodes {
		switch n := &v.Cluster.Nodes[i]; n.Role {
		case "primary":
			primary = n.Name
		case "secondary":
			secondaries++
		}
	}
	if primary == "" {
		return "this node serves without replication"
	}
	return primary + " is primary, " + plural.Or(secondaries, "secondary follows", "secondaries follow")
}

// A pageNode is a line of the table of nodes.
type pageNode struct {
	Name, Role, State, StateClass, Epoch     string
	LagTime, LagTransactions, LagBytes, Last string
	Version, Known, Class, Follows, Address  string
	Marks                                    []string
	Depth                                    int
	Self                                     bool
}

// maxDepth is how deep the tree of who follows whom is drawn.
const maxDepth = 4

func (v *pageView) nodes() { v.Nodes = nodeLines(v.Cluster.Nodes) }

// nodeLines lists each node below the one that it follows.
func nodeLines(list []ClusterNode) (lines []pageNode) {
	seen := make([]bool, len(list))
	var below func(i, depth int)
	below = func(i, depth int) {
		if seen[i] {
			return
		}
		seen[i] = true
		lines = append(lines, nodeLine(&list[i], min(depth, maxDepth)))
		for j := range list {
			if follows(&list[j], &list[i]) {
				below(j, depth+1)
			}
		}
	}
	for i := range list {
		if list[i].Role == "primary" {
			below(i, 0)
		}
	}
	for i := range list {
		if !slices.ContainsFunc(list, func(o ClusterNode) bool { return follows(&list[i], &o) }) {
			below(i, 0)
		}
	}
	for i := range list { // those that follow each other in a circle
		below(i, 0)
	}
	return lines
}

func nodeLine(n *ClusterNode, depth int) pageNode {
	line := pageNode{
		Name: cmp.Or(n.Name, n.Address), Role: cmp.Or(n.Role, "unknown"), Epoch: unknown, Depth: depth,
		LagTime: spanText(n.Lag.Seconds), LagTransactions: numberText(asFloat(n.Lag.Transactions)),
		LagBytes: bytesText(n.Lag.Bytes), Version: cmp.Or(n.Version, unknown), Last: unknown,
		Address: n.Address, Self: n.Source == "itself", Known: knownText(n), Follows: orEmpty(n.Follows),
	}
	if n.Role == "primary" {
		line.LagTime, line.LagTransactions, line.LagBytes = "", "", ""
	}
	if n.Epoch != nil {
		line.Epoch = strconv.FormatUint(n.Epoch.Number, 10)
	}
	if n.LastTid != nil {
		at := n.LastTid.Time()
		line.Last = timeText(&at)
	}
	for mark, is := range map[string]bool{"fenced": n.Fenced, "frozen": n.Frozen, "learner": n.Learner} {
		if is {
			line.Marks = append(line.Marks, mark)
		}
	}
	slices.Sort(line.Marks)
	line.State, line.StateClass = nodeState(n)
	if n.Error != nil {
		line.Class = "silent"
	}
	return line
}

// nodeState is how a node is, in a word, and how good that is.
func nodeState(n *ClusterNode) (state, class string) {
	switch {
	case n.Error != nil && n.Heard == nil:
		return "no answer", bad
	case n.Error != nil:
		return "no answer; was " + cmp.Or(n.State, "ready"), bad
	case n.Ready != nil && !*n.Ready:
		return strings.TrimSpace(n.State + " not ready"), bad
	case n.State == "":
		return "ready", good
	case n.State == "live":
		return n.State, good
	case slices.Contains([]string{"refused", "failed", "stalled", "stopped", "disconnected"}, n.State):
		return n.State, bad
	}
	return n.State, warn
}

// knownText says how old what is shown of a node is.
func knownText(n *ClusterNode) string {
	switch {
	case n.Source == "itself":
		return "now"
	case n.Heard == nil:
		return "never heard"
	case n.Source == "told":
		return fmt.Sprintf("%s ago, by %s", ago(n.Age), orEmpty(n.Follows))
	}
	return ago(n.Age) + " ago"
}

// ago writes an age in whole seconds.
func ago(seconds float64) string {
	return longText(time.Duration(seconds * float64(time.Second)).Truncate(time.Second))
}
