package drill

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/drill/cluster"
	"github.com/zrsd/zrsd/internal/drill/workload"
	"github.com/zrsd/zrsd/zodb"
)

// A target is where scenarios are played.
type target interface {
	// cluster returns the nodes, for one scenario, with a folder of its own.
	cluster(ctx context.Context, dir string) (*cluster.Cluster, error)
	// open has the nodes run, and chooses the objects. The first node is the primary.
	open(ctx context.Context, r *Run) error
	// close ends what open began, when every node has everything.
	close(ctx context.Context, r *Run) error
	// files returns what is there in the end, and what was set aside.
	files(ctx context.Context, r *Run, out *Outcome) (truth *consistency.Truth, aside []*consistency.Truth, err error)
	// mayLose reports whether acknowledged commits may be set aside.
	mayLose() bool
}

// localTarget is for clusters that a drill starts itself.
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

// remoteTarget is a cluster that is there already. Its objects are new ones of the storage, and are
// garbage when the drill is over.
type remoteTarget struct{ places []cluster.Address }

// mayLose: what is played there loses nothing, whether commits wait for secondaries or not.
func (s *remoteTarget) mayLose() bool { return false }

func (s *remoteTarget) cluster(ctx context.Context, _ string) (*cluster.Cluster, error) {
	return cluster.Join(ctx, s.places)
}

func (s *remoteTarget) open(ctx context.Context, r *Run) error {
	return r.load.NewObjects(ctx, objectCount)
}

func (s *remoteTarget) close(context.Context, *Run) error { return nil }

// files asks the primary.
func (s *remoteTarget) files(
	ctx context.Context,
	r *Run,
	_ *Outcome,
) (*consistency.Truth, []*consistency.Truth, error) {
	txns, err := r.load.ReadServer(ctx, r.primary.ZEO)
	if err != nil {
		return nil, nil, err
	}
	truth, err := consistency.NewTruth(txns)
	return truth, nil, err
}

// StagingScenarios are those that need no hold on processes, storages or the network.
func StagingScenarios() []Scenario {
	return []Scenario{thereAndBack, freezeAndThaw, packBeside}
}

var thereAndBack = Scenario{
	Name: "switchover",
	about: "The primary hands over to a secondary, and that one back: nothing is lost, and clients continue by " +
		"themselves.",
	Steps: []Step{commitsGoOn, handOver, commitsGoOn, redundancy, handBack, commitsGoOn, redundancy},
}

// handBack is a switchover to the former primary.
func handBack(ctx context.Context, r *Run) error { return r.handOverTo(ctx, r.former) }

var freezeAndThaw = Scenario{
	Name:  "freeze-and-thaw",
	about: "The primary takes no commits for a moment, and its clients stay and read.",
	Steps: []Step{commitsGoOn, freeze, nothingGoes, thaw, commitsGoOn, redundancy},
}

func freeze(ctx context.Context, r *Run) error {
	r.note(faultEvent, "%s takes no commits", r.primary.Name)
	return r.primary.Halt(ctx)
}

func thaw(ctx context.Context, r *Run) error {
	r.note(noteEvent, "%s takes commits again", r.primary.Name)
	return r.primary.Resume(ctx)
}

var packBeside = Scenario{
	Name:  "pack",
	about: "The primary packs while clients commit.",
	Steps: []Step{commitsGoOn, packHistory, commitsGoOn, redundancy},
}

// packHistory packs what is older than the drill, so that all of that can be judged.
func packHistory(ctx context.Context, r *Run) error {
	const margin = time.Minute // between the clocks
	r.note(faultEvent, "%s packs", r.primary.Name)
	if err := r.primary.Pack(ctx, r.begun.Add(-margin)); err != nil {
		return fmt.Errorf("packing %s: %w", r.primary.Name, err)
	}
	return nil
}
