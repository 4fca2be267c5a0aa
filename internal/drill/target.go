package drill

import (
	"context"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/drill/cluster"
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
