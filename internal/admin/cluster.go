package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// A Cluster is what one node knows of all nodes of a storage, and what they do not agree on: the document at /cluster.
type Cluster struct {
	Now      time.Time     `json:"now"`
	Storage  string        `json:"storage"` // its name, where a process has several; empty otherwise
	Nodes    []ClusterNode `json:"nodes"`   // the node that answers comes first
	Problems []Problem     `json:"problems"`
}

// A ClusterNode is what is known of one node, and since when.
type ClusterNode struct {
	Address string `json:"address"` // where it was asked; empty: it cannot be asked
	Name    string `json:"name"`    // empty: it has never answered
	NodeID  string `json:"node_id"`
	Run     string `json:"run"` // new with each start of its process; empty: not known
	Storage string `json:"storage_id"`
	// Source says from where this is known: "itself", "answer", its last one, "told", by the node that it follows, or
	// "nothing".
	Source string     `json:"source"`
	Heard  *time.Time `json:"heard"`       // of when this is; nil: nothing is known
	Age    float64    `json:"age_seconds"` // since then
	Error  *string    `json:"error"`       // why it does not answer now
	Epoch  *Epoch     `json:"epoch"`
	// MaxEpochSeen is the highest epoch that it has heard of, when that is above Epoch.
	MaxEpochSeen *uint64   `json:"max_epoch_seen"`
	LastTid      *zodb.Tid `json:"last_tid"`
	// ClockAhead is by how many seconds its clock is, at least, ahead of that of the node that asked it, negative where
	// it is behind. Nil: not known.
	ClockAhead *float64 `json:"clock_ahead_seconds"`
	Report
}

// A Report is what a node says of itself to other nodes, for people.
type Report struct {
	Version string `json:"version"`
	// Now is its clock when it said this; nil: not known.
	Now      *time.Time `json:"now"`
	Role     string     `json:"role"`  // as in a Status; empty: not known
	State    string     `json:"state"` // of its connection to the node that it follows; empty: it follows none
	Follows  *string    `json:"follows"`
	Ready    *bool      `json:"ready"` // nil: not known
	NotReady *string    `json:"not_ready_because"`
	Fenced   bool       `json:"fenced"`
	Frozen   bool       `json:"frozen"`
	Learner  bool       `json:"learner"`
	Spare    bool       `json:"spare"` // and follows nobody
	// AdminAddr is where other machines reach its admin server; empty: they cannot, or it is not known.
	AdminAddr string `json:"admin_addr"`
	Lag       Lag    `json:"lag"`
	// Warnings are those that it has, critical ones first.
	Warnings []warning.Warning `json:"warnings"`
	Packing  bool              `json:"packing"` // its storage is being packed
	// Packs are those by schedule; nil: it has none.
	Packs *packplan.State `json:"packs"`
	// Followers are the nodes that follow it.
	Followers []Follower `json:"followers"`
}

// A Follower is a node that follows another one, as that one knows it.
type Follower struct {
	Name    string    `json:"name"`
	NodeID  string    `json:"node_id"`
	Address string    `json:"replication_addr"`
	State   string    `json:"state"`
	Durable *zodb.Tid `json:"durable_tid"`
	Lag     Lag       `json:"lag"`
}

// A Problem is something that nodes do not agree on.
type Problem struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// The bounds on what other nodes say.
const (
	maxClusterNodes = 128
	maxFollowers    = 64
	maxPeerWarnings = 16
	maxPeerText     = 1000
)

// A PeerSource is a Source that knows other nodes of its storage.
type PeerSource interface {
	Source
	// Peers returns what is known of them. It may ask them, until ctx ends.
	Peers(ctx context.Context) []ClusterNode
}

// ClusterOf returns what src knows.
func ClusterOf(ctx context.Context, src Source) Cluster {
	var peers []ClusterNode
	if p, can := src.(PeerSource); can {
		peers = p.Peers(ctx)
	}
	st := src.Status()
	return Join(st.Now, append([]ClusterNode{NodeOf(&st)}, peers...))
}

// NodeOf is how a node is shown by its own status.
func NodeOf(st *Status) ClusterNode {
	return ClusterNode{
		Address: orEmpty(st.ReplicationAddr), Name: st.Name, NodeID: orEmpty(st.NodeID),
		Storage: orEmpty(st.Storage.ID), Source: "itself", Heard: Known(st.Now), Epoch: st.Epoch,
		MaxEpochSeen: st.MaxEpochSeen, LastTid: st.Storage.LastTid, Report: ReportOf(st),
	}
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// ReportOf is what a node with this status says to others.
func ReportOf(st *Status) Report {
	r := Report{
		Version: st.Version, Now: Known(st.Now), Role: st.Role, Ready: Known(st.Ready), NotReady: st.NotReady,
		Fenced: st.Fenced, Frozen: st.Frozen, Learner: st.Learner, Spare: st.Spare, Packing: st.Storage.Packing,
		Packs: st.Packs, AdminAddr: orEmpty(st.AdminAddr),
		Warnings: st.Warnings[:min(len(st.Warnings), maxPeerWarnings)],
	}
	if u := st.Upstream; u != nil {
		r.State, r.Lag, r.Follows = u.State, u.Lag, u.Name
		if u.Name == nil {
			r.Follows = u.Address
		}
	}
	for _, s := range slices.Concat(st.Secondaries, st.Disconnected) {
		if s.Name != "" && len(r.Followers) < maxFollowers { // the others have not said who they are
			r.Followers = append(r.Followers, followerOf(&s))
		}
	}
	return r
}

func followerOf(s *Secondary) Follower {
	return Follower{Name: s.Name, NodeID: orEmpty(s.NodeID), Address: orEmpty(s.ReplicationAddr),
		State: s.State, Durable: s.Durable, Lag: s.Lag}
}

// Encode returns the report as other nodes are sent it: nothing when it does not fit into a number of bytes.
func (r *Report) Encode(limit int) []byte {
	b, err := json.Marshal(r)
	if err != nil || len(b) > limit {
		r.Followers = nil
		if b, err = json.Marshal(r); err != nil || len(b) > limit {
			return nil
		}
	}
	return b
}

// ReadReport returns what another node has said. What cannot be read counts as not said: it is for people only.
func ReadReport(b []byte) (r Report) {
	if err := json.Unmarshal(b, &r); err != nil {
		return Report{}
	}
	r.Followers = r.Followers[:min(len(r.Followers), maxFollowers)]
	r.Warnings = r.Warnings[:min(len(r.Warnings), maxPeerWarnings)]
	for i := range r.Warnings {
		w := &r.Warnings[i]
		w.Code, w.Severity = warning.Code(shortened(string(w.Code))), warning.Severity(shortened(string(w.Severity)))
		w.About, w.Text, w.Cure = shortened(w.About), shortened(w.Text), shortened(w.Cure)
	}
	for _, s := range []*string{&r.Version, &r.Role, &r.State, &r.AdminAddr, r.Follows, r.NotReady} {
		shorten(s)
	}
	if p := r.Packs; p != nil {
		p.Schedule = shortened(p.Schedule)
		for _, s := range []*string{p.Failed, p.Waits} {
			shorten(s)
		}
		if p.LeftOut != nil {
			p.LeftOut.Why = shortened(p.LeftOut.Why)
		}
	}
	for i := range r.Followers {
		f := &r.Followers[i]
		for _, s := range []*string{&f.Name, &f.NodeID, &f.Address, &f.State} {
			shorten(s)
		}
	}
	return r
}

func shorten(s *string) {
	if s != nil {
		*s = shortened(*s)
	}
}

func shortened(s string) string { return printable.Short(s, maxPeerText) }

// Join puts together what is known of each node, adds those that only the node knows that they follow, and says what
// they do not agree on.
func Join(now time.Time, nodes []ClusterNode) Cluster {
	c := Cluster{Now: now}
	for i := range nodes {
		if !slices.ContainsFunc(c.Nodes, func(n ClusterNode) bool { return n.same(&nodes[i]) }) {
			c.Nodes = append(c.Nodes, nodes[i])
		}
	}
	c.addFollowers()
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if n.Heard != nil {
			n.Age = max(0, now.Sub(*n.Heard).Seconds())
		}
		if n.Followers == nil {
			n.Followers = []Follower{}
		}
		if n.Warnings == nil {
			n.Warnings = []warning.Warning{}
		}
	}
	c.Problems = problems(c.Nodes)
	return c
}

// same reports whether two answers are of one process.
func (n *ClusterNode) same(o *ClusterNode) bool {
	if n.NodeID == "" || o.NodeID == "" {
		return n.Address == o.Address && (n.Address != "" || n.Name == o.Name)
	}
	return n.NodeID == o.NodeID && (n.Run == o.Run || n.Run == "" || o.Run == "")
}

// addFollowers adds the nodes of which only those that they follow know, such as those that nobody can connect to. Of
// those that have never answered it takes what these know.
func (c *Cluster) addFollowers() {
	told := slices.Clone(c.Nodes)
	slices.SortStableFunc(told, func(a, b ClusterNode) int { return cmp.Compare(rank(&a), rank(&b)) })
	for i := range told {
		from := &told[i]
		for _, f := range from.Followers {
			n := ClusterNode{Address: f.Address, Name: f.Name, NodeID: f.NodeID, Storage: from.Storage, Source: "told",
				Heard: from.Heard, LastTid: f.Durable,
				Report: Report{Role: "secondary", State: f.State, Follows: Known(from.Name), Lag: f.Lag}}
			at := slices.IndexFunc(c.Nodes, func(o ClusterNode) bool { return n.same(&o) })
			switch {
			case at < 0 && len(c.Nodes) < maxClusterNodes:
				c.Nodes = append(c.Nodes, n)
			case at >= 0 && c.Nodes[at].Heard == nil:
				n.Error = c.Nodes[at].Error
				c.Nodes[at] = n
			}
		}
	}
}

// rank puts those first whose word about their followers counts most.
func rank(n *ClusterNode) int {
	if n.Role == "primary" && n.Error == nil {
		return 0
	}
	return 1
}

// problems says what nodes do not agree on, and what keeps commits from being taken.
func problems(nodes []ClusterNode) []Problem {
	list := []Problem{}
	add := func(code, format string, args ...any) {
		list = append(list, Problem{code, fmt.Sprintf(format, args...)})
	}
	var leads, silent []string
	top := highest(nodes)
	replicated, outdated := false, false
	for i := range nodes {
		n := &nodes[i]
		replicated, outdated = replicated || n.Role == "secondary", outdated || n.isOfBefore(top)
		if n.Role == "primary" && n.Error == nil && !n.Fenced && !n.isOfBefore(top) {
			leads = append(leads, n.Name)
		}
		if n.Error != nil {
			silent = append(silent, cmp.Or(n.Name, n.Address))
		}
	}
	switch {
	case len(leads) > 1:
		add("two_primaries", "%s are both primary: commits may go to either. Stop clients from writing, and see "+
			"zrsd status of each; the one with the lower epoch has to be demoted", strings.Join(leads, " and "))
	case len(leads) == 0 && replicated && !outdated && !followsUnknown(nodes):
		add("no_primary", "no node that answers is primary: nobody takes commits. Start the primary, or promote a "+
			"secondary (zrsd promote)")
	}
	if len(silent) > 0 {
		add("no_answer", "%s: no answer. Check that the node runs and that its address can be reached from here",
			strings.Join(silent, ", "))
	}
	for i := range nodes {
		problemsWith(&nodes[i], top, add)
		if nodes[i].Role == "standalone" && len(nodes) > 1 {
			add("standalone", "%s serves without replication: what is committed there no other node gets. Start it "+
				"with the addresses of the others", nodes[i].Name)
		}
		for j := range i {
			if id := nodes[i].NodeID; id != "" && id == nodes[j].NodeID {
				add("copies", "%s and %s have one node id, %s: one is a copy of the other. See zrsd status of both",
					cmp.Or(nodes[j].Address, nodes[j].Name), cmp.Or(nodes[i].Address, nodes[i].Name), id)
			}
		}
	}
	return append(list, storageProblems(nodes)...)
}

// highest returns a node of the highest epoch, nil where none is known.
func highest(nodes []ClusterNode) (top *ClusterNode) {
	for i := range nodes {
		if n := &nodes[i]; n.Epoch != nil && (top == nil || n.Epoch.Number > top.Epoch.Number) {
			top = n
		}
	}
	return top
}

// epochSettles is how long after the beginning of an epoch an answer has to have come to be taken for one that knows of
// it: the beginning is known to the second.
const epochSettles = 2 * time.Second

// isOfBefore reports whether what is known of a node is of before the epoch of another one began: nodes are asked at
// different times, and what one said before a switchover contradicts nothing.
func (n *ClusterNode) isOfBefore(top *ClusterNode) bool {
	if n == top || n.Heard == nil || n.Epoch == nil || top.Epoch.At == nil || n.Epoch.Number >= top.Epoch.Number {
		return false
	}
	begun, err := time.Parse(time.RFC3339, *top.Epoch.At)
	return err == nil && n.Heard.Before(begun.Add(epochSettles)) && (top.Heard == nil || begun.Before(*top.Heard))
}

// followsUnknown reports whether a node has a connection to one that cannot be asked, such as a primary of zc.zrs.
func followsUnknown(nodes []ClusterNode) bool {
	return slices.ContainsFunc(nodes, func(n ClusterNode) bool {
		return n.Error == nil && slices.Contains([]string{"live", "catching-up", "seeding"}, n.State) &&
			!slices.ContainsFunc(nodes, func(o ClusterNode) bool { return follows(&n, &o) })
	})
}

// follows reports whether n follows o.
func follows(n, o *ClusterNode) bool {
	if n.Follows == nil || *n.Follows == "" || n.Role == "primary" {
		return false
	}
	return *n.Follows == o.Name || *n.Follows == o.Address
}

// problemsWith says where a node has another history than that of the highest epoch.
func problemsWith(n, top *ClusterNode, add func(code, format string, args ...any)) {
	if n.Epoch == nil || top == nil || n == top || n.Error != nil || n.isOfBefore(top) {
		return
	}
	switch {
	case n.Epoch.Number < top.Epoch.Number:
		add("epochs_differ", "%s is of epoch %d, %s of epoch %d: the former has not followed the primary of the new "+
			"epoch yet", n.Name, n.Epoch.Number, top.Name, top.Epoch.Number)
	case differ(n.Epoch.Begin, top.Epoch.Begin) || differ(n.Epoch.By, top.Epoch.By):
		add("histories_differ", "%s and %s began epoch %d in different ways: their histories are not the same. Find "+
			"out which one is right before anything is written (zrsd compare)", n.Name, top.Name, n.Epoch.Number)
	}
}

func differ[T comparable](a, b *T) bool { return a != nil && b != nil && *a != *b }

// storageProblems says which nodes have another storage, or another version of the program.
func storageProblems(nodes []ClusterNode) (list []Problem) {
	storages, versions := map[string][]string{}, map[string][]string{}
	for i := range nodes {
		n := &nodes[i]
		if n.Storage != "" {
			storages[n.Storage] = append(storages[n.Storage], n.Name)
		}
		if n.Version != "" && n.Error == nil {
			versions[n.Version] = append(versions[n.Version], n.Name)
		}
	}
	if len(storages) > 1 {
		list = append(list, Problem{"storages_differ", "not all nodes have the same storage: " + grouped(storages)})
	}
	if len(versions) > 1 {
		list = append(list, Problem{"versions_differ", "not all nodes run the same version: " + grouped(versions)})
	}
	return list
}

// grouped lists names by what they have in common.
func grouped(by map[string][]string) string {
	var parts []string
	for what, names := range by {
		parts = append(parts, fmt.Sprintf("%s (%s)", what, strings.Join(names, ", ")))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
