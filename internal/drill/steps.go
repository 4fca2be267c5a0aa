package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/drill/cluster"
)

// commitsGoOn lets the clients commit for a while.
func commitsGoOn(ctx context.Context, r *Run) error {
	more := r.load.Log.Count(consistency.Commit) + 20 + r.rand.IntN(60)
	return until(ctx, fmt.Sprintf("%d commits are acknowledged", more), func() bool {
		return r.load.Log.Count(consistency.Commit) >= more
	})
}

// handOver is a switchover to a secondary.
func handOver(ctx context.Context, r *Run) error { return r.handOverTo(ctx, r.pick()) }

func (r *Run) handOverTo(ctx context.Context, successor *cluster.Node) error {
	from := r.primary
	r.note(noteEvent, "%s is to hand over to %s", from.Name, successor.Name)
	r.endPrimaryPeriod()
	for {
		_, err := from.Switchover(ctx, successor)
		if err == nil {
			r.beginPrimaryPeriod(successor)
			return nil
		}
		if refused(err) != admin.Busy {
			return fmt.Errorf("switching over from %s to %s: %w", from.Name, successor.Name, err)
		}
		if waited := later(ctx, "the primary hands over"); waited != nil {
			return errors.Join(waited, err)
		}
	}
}

// killPrimary is SIGKILL.
func killPrimary(_ context.Context, r *Run) error {
	r.fault("%s is killed", r.primary.Name)
	defer r.endPrimaryPeriod()
	return r.primary.Kill()
}

// startFormer starts the process of the former primary again.
func startFormer(_ context.Context, r *Run) error {
	r.note(noteEvent, "%s is started again", r.former.Name)
	return r.former.Start()
}

// promote makes one of the secondaries primary. If one refuses because another one has more, the other is promoted, as
// an operator would do. If all refuse they are asked again: messages may still have been under way to them, or another
// change is in progress.
func promote(ctx context.Context, r *Run) error {
	r.endPrimaryPeriod()
	for {
		refusals, err := r.promoteAny(ctx)
		if refusals == nil {
			return err
		}
		if err := later(ctx, "a secondary is promoted"); err != nil {
			return errors.Join(err, refusals)
		}
	}
}

// promoteAny tries each secondary once. It returns why they refused, if all did for now.
func (r *Run) promoteAny(ctx context.Context) (refusals, err error) {
	for _, n := range r.others() {
		_, err := n.Promote(ctx)
		if err == nil {
			r.beginPrimaryPeriod(n)
			return nil, nil
		}
		err = fmt.Errorf("promoting %s: %w", n.Name, err)
		r.note(noteEvent, "%v", err)
		switch refused(err) {
		case admin.Unsafe, admin.Busy, admin.Unavailable:
			refusals = errors.Join(refusals, err)
		default:
			return nil, err
		}
	}
	return refusals, nil
}

// redundancy waits until every node has everything, and does what an operator has to do for that: a node that has
// diverged is rewound.
func redundancy(ctx context.Context, r *Run) error {
	var mark *admin.Status
	for {
		st, err := r.primary.Status(ctx)
		if err == nil && st.Role == "primary" {
			if mark == nil {
				mark = st
			}
			missing := r.Missing(st, r.primary, mark.LastTid())
			if len(missing) == 0 {
				r.mark = mark.LastTid()
				r.regained()
				return nil
			}
			for _, n := range missing {
				if err := r.rejoin(ctx, n); err != nil {
					return err
				}
			}
		}
		if err := later(ctx, "every node has everything"); err != nil {
			return errors.Join(err, r.describe(context.WithoutCancel(ctx)))
		}
	}
}

// regained notes that every node has everything.
func (r *Run) regained() {
	if r.broken != 0 {
		r.redundant = max(r.redundant, time.Duration(r.clock()-r.broken))
		r.broken = 0
	}
	r.note(noteEvent, "every node has everything")
}

// ownRewind is for how long a node is left alone that is refused: it may rewind itself.
const ownRewind = 3 * time.Second

// rejoin rewinds a node that can follow nobody with the storage that it has, or replaces it if that cannot be rewound.
func (r *Run) rejoin(ctx context.Context, n *cluster.Node) error {
	st, err := n.Status(ctx)
	if err != nil || st.Upstream == nil || st.Upstream.State != "refused" || st.Upstream.Since == nil ||
		st.Now.Sub(*st.Upstream.Since) < ownRewind {
		return nil //nolint:nilerr // it is not there yet
	}
	if r.Remote {
		return fmt.Errorf("node %s is refused by the primary: %s", n.Name, daemon.Describe(st))
	}
	if err := n.Kill(); err != nil {
		return err
	}
	err = r.Rewind(ctx, n, r.primary)
	switch {
	case errors.Is(err, cluster.ErrNotRewindable):
		return r.replace(n, err.Error())
	case err != nil:
		return err
	}
	r.byHand++
	r.note(noteEvent, "%s was rewound by hand: %s", n.Name, daemon.Describe(st))
	return n.Start()
}

// replace sets the storage of a node aside, and starts the node with an empty one.
func (r *Run) replace(n *cluster.Node, why string) error {
	r.note(noteEvent, "%s is replaced: %s", n.Name, why)
	if err := n.Kill(); err != nil {
		return err
	}
	if err := r.Replace(n); err != nil {
		return err
	}
	return n.Start()
}

// describe says how the nodes are, as an error.
func (r *Run) describe(ctx context.Context) error {
	var errs []error
	for _, n := range r.Nodes {
		st, err := n.Status(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.Name, err))
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %s", n.Name, daemon.Describe(st)))
	}
	return errors.Join(errs...)
}
