package drill

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/drill/cluster"
	"github.com/zrsd/zrsd/drill/history"
	"github.com/zrsd/zrsd/drill/workload"
	"github.com/zrsd/zrsd/zodb"
)

// own is the stage of clusters that a drill starts itself.
type own struct {
	binary string
	sync   int
}

// The objects of such a drill: the counter is the first.
const (
	firstObject = zodb.Oid(1)
	objectCount = 5
)

// MaxSync is how many of its two secondaries the primary of a drill can wait for. With both, nothing could be committed
// after a failover until the former primary is back.
const MaxSync = 1

// nodeNames are those of the cluster: a primary and two secondaries, at first.
var nodeNames = []string{"a", "b", "c"}

func (o *own) mayLose() bool { return o.sync == 0 }

func (o *own) cluster(ctx context.Context, dir string) (*cluster.Cluster, error) {
	var args []string
	if o.sync > 0 {
		args = []string{"--sync-secondaries", strconv.Itoa(o.sync), "--sync-names", strings.Join(nodeNames, ",")}
	}
	return cluster.New(ctx, cluster.Options{Binary: o.binary, Dir: dir, Names: nodeNames, Args: args})
}

func (o *own) open(ctx context.Context, r *Run) error {
	r.load.Counter = firstObject
	for i := range objectCount {
		r.load.Objects = append(r.load.Objects, firstObject+1+zodb.Oid(i))
	}
	return r.Start(ctx)
}

func (o *own) close(ctx context.Context, r *Run) error { return r.Stop(ctx, r.primary) }

// files reads those of all nodes, which must agree, and those of nodes that were replaced.
func (o *own) files(ctx context.Context, r *Run, out *Outcome) (truth, aside *history.Truth, err error) {
	objects := map[zodb.Oid]bool{r.load.Counter: true}
	for _, oid := range r.load.Objects {
		objects[oid] = true
	}
	var files [][]history.Txn
	for _, n := range r.Nodes {
		txns, err := workload.ReadFile(ctx, n.Data(), objects)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, txns)
	}
	if truth, err = history.NewTruth(files...); err != nil {
		return nil, nil, fmt.Errorf("the nodes do not have the same: %w", err)
	}
	files = nil
	for _, path := range r.Aside {
		txns, err := workload.ReadFile(ctx, path, objects)
		if err != nil {
			return nil, nil, err
		}
		all, err := history.NewTruth(txns)
		if err != nil {
			return nil, nil, err
		}
		cut := all.Without(truth)
		files = append(files, cut)
		out.Aside = append(out.Aside, Aside{path, len(cut)})
	}
	aside, err = history.NewTruth(files...)
	return truth, aside, err
}
