package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/drill/cluster"
)

// remoteTarget is the stage of a cluster that is there already. Its objects are new ones of the storage, and are
// garbage when the drill is over.
type remoteTarget struct{ places []cluster.Place }

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
	About: "The primary hands over to a secondary, and that one back: nothing is lost, and clients continue by " +
		"themselves.",
	Steps: []Step{commitsGoOn, handOver, commitsGoOn, redundancy, handBack, commitsGoOn, redundancy},
}

// handBack is a switchover to the former primary.
func handBack(ctx context.Context, r *Run) error { return r.handTo(ctx, r.former) }

var freezeAndThaw = Scenario{
	Name:  "freeze-and-thaw",
	About: "The primary takes no commits for a moment, and its clients stay and read.",
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
	About: "The primary packs while clients commit.",
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
