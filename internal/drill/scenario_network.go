package drill

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/drill/cluster"
	"github.com/zrsd/zrsd/internal/drill/network"
)

func isReady(st *admin.Status) bool { return st.Ready }

var partition = Scenario{
	Name: "partition",
	about: "The network between the primary and the other nodes is cut, while clients reach all of them; a " +
		"secondary is promoted; then the network works again and the former primary becomes a secondary.",
	simulated: "a proxy between the nodes refuses, or holds back, their messages to each other; the seed decides " +
		"which",
	Steps: []Step{commitsGoOn, isolatePrimary, promote, commitsGoOn, heal, redundancy},
}

// isolatePrimary takes the network between the primary and the other nodes away. Clients reach all nodes, so that they
// find both sides.
func isolatePrimary(_ context.Context, r *Run) error {
	condition := []network.Condition{network.Cut, network.Silent}[r.rand.IntN(2)]
	r.fault("the network around %s is %v", r.primary.Name, condition)
	r.around(r.primary, condition, 0)
	return nil
}

// heal gives the network back.
func heal(_ context.Context, r *Run) error {
	r.note(noteEvent, "the network works again")
	for _, n := range r.Nodes {
		r.around(n, network.Open, 0)
	}
	return nil
}

// lag makes the network between the nodes slow.
func lag(_ context.Context, r *Run) error {
	delay := time.Duration(1+r.rand.IntN(10)) * time.Millisecond
	r.note(faultEvent, "messages between nodes take %v longer", delay)
	for _, n := range r.Nodes {
		r.around(n, network.Open, delay)
	}
	return nil
}

// around sets the links of a node to all others.
func (r *Run) around(n *cluster.Node, c network.Condition, delay time.Duration) {
	for _, o := range r.Nodes {
		if o != n {
			r.Net.Set(n.Name, o.Name, c, delay)
		}
	}
}

var oldPrimaryReturning = Scenario{
	Name: "old-primary-returning",
	about: "The primary continues for a while without its secondaries, and is then killed; a secondary is " +
		"promoted. When the former primary comes back, what only it has is set aside, and it becomes a " +
		"secondary.",
	simulated: "a proxy between the nodes refuses, or holds back, their messages to each other; the seed decides " +
		"which",
	Steps: []Step{
		commitsGoOn,
		isolatePrimary,
		tryWithoutSecondaries,
		killPrimary,
		heal,
		promote,
		commitsGoOn,
		startFormer,
		redundancy,
	},
}

// tryWithoutSecondaries lets clients try for a while to commit at a primary that its secondaries cannot reach.
func tryWithoutSecondaries(ctx context.Context, r *Run) error {
	tried := r.load.Log.Len() + 100
	return until(ctx, "clients continue", func() bool { return r.load.Log.Len() >= tried })
}
