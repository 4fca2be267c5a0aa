package drill

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/drill/cluster"
	"github.com/zrsd/zrsd/internal/drill/workload"
	"github.com/zrsd/zrsd/zodb"
)

// localTarget is the stage of clusters that a drill starts itself.
type localTarget struct {
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

func (o *localTarget) mayLose() bool { return o.sync == 0 }

func (o *localTarget) cluster(ctx context.Context, dir string) (*cluster.Cluster, error) {
	var args []string
	if o.sync > 0 {
		args = []string{"--sync-secondaries", strconv.Itoa(o.sync), "--sync-names", strings.Join(nodeNames, ",")}
	}
	return cluster.New(ctx, cluster.Options{Binary: o.binary, Dir: dir, Names: nodeNames, Args: args})
}

func (o *localTarget) open(ctx context.Context, r *Run) error {
	r.load.Counter = firstObject
	for i := range objectCount {
		r.load.Objects = append(r.load.Objects, firstObject+1+zodb.Oid(i))
	}
	return r.Start(ctx)
}

func (o *localTarget) close(ctx context.Context, r *Run) error { return r.Stop(ctx, r.primary) }

// files reads those of all nodes, which must agree, and those of nodes that were replaced.
func (o *localTarget) files(
	ctx context.Context,
	r *Run,
	out *Outcome,
) (*consistency.Truth, []*consistency.Truth, error) {
	files := slices.Clone(r.packed)
	for _, n := range r.Nodes {
		txns, err := workload.ReadFile(ctx, n.Data(), r.objects())
		if err != nil {
			return nil, nil, err
		}
		files = append(files, txns)
	}
	truth, err := consistency.NewTruth(files...)
	if err != nil {
		return nil, nil, fmt.Errorf("the nodes do not have the same: %w", err)
	}
	if out.ByItself, err = r.Collect(); err != nil {
		return nil, nil, err
	}
	if r.cut, err = firstCut(ctx, r); err != nil {
		return nil, nil, err
	}
	var aside []*consistency.Truth
	for _, path := range r.Aside {
		cut, err := cutOff(ctx, path, r.objects(), truth)
		if err != nil {
			return nil, nil, err
		}
		aside = append(aside, cut)
		out.Aside = append(out.Aside, Aside{path, len(cut.Tids())})
	}
	return truth, aside, nil
}

// firstCut returns the first transaction that was set aside and that no node has, 0 for none. It may be no client's: an
// epoch begins with one that has no objects, and real ZEO clients have their own.
func firstCut(ctx context.Context, r *Run) (first zodb.Tid, err error) {
	there := map[zodb.Tid]bool{}
	for _, n := range r.Nodes {
		tids, err := workload.Tids(ctx, n.Data())
		if err != nil {
			return 0, err
		}
		for _, tid := range tids {
			there[tid] = true
		}
	}
	for _, path := range r.Aside {
		tids, err := workload.Tids(ctx, path)
		if err != nil {
			return 0, err
		}
		for _, tid := range tids {
			if !there[tid] && (first == 0 || tid < first) {
				first = tid
			}
		}
	}
	return first, nil
}

// cutOff reads what a file has and the cluster has not.
func cutOff(
	ctx context.Context, path string, objects map[zodb.Oid]bool, truth *consistency.Truth,
) (*consistency.Truth, error) {
	txns, err := workload.ReadFile(ctx, path, objects)
	if err != nil {
		return nil, err
	}
	all, err := consistency.NewTruth(txns)
	if err != nil {
		return nil, err
	}
	return consistency.NewTruth(all.Without(truth))
}
