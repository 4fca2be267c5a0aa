package node

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
)

// holdFor is for how long nobody has to lead before clients that want to write are let in to read. A coordinator finds
// a new primary in less.
func (r *replica) holdFor() time.Duration {
	if r.failover == nil {
		return defaultHoldFor
	}
	return max(defaultHoldFor, 2*r.failover.timing.TTL+defaultHoldFor/2)
}

const defaultHoldFor = 15 * time.Second

// elsewhere is zeo.StorageOptions.Elsewhere: it asks all members. What a connection of before says does not count: a
// client that has lost its primary is here before replication has noticed.
func (r *replica) elsewhere(ctx context.Context) zeo.Leader {
	id, now := r.keep.State(), r.sec.Status()
	switch {
	case r.isLeading() && !r.fenced():
		return zeo.Leader{}
	case now.Connected && now.Protocol != protocol.Native: // a zc.zrs answers no questions
		return zeo.Leader{Name: "a zc.zrs at " + now.Address, For: time.Hour} // it does not say for how long
	case id == nil:
		return zeo.Leader{}
	}
	return r.leaderAmong(ctx, r.others())
}

// leaderAmong returns the first node that says that it leads, in an epoch as high as any that is known to have begun.
// Those that have not answered by then are left alone: the session waits for their answers, which are bounded in time.
func (r *replica) leaderAmong(ctx context.Context, addresses []string) zeo.Leader {
	answers := make(chan []answer, len(addresses))
	for _, addr := range addresses {
		r.asked.Go(func() { answers <- r.ask(ctx, 0, []string{addr}) })
	}
	for range addresses {
		for _, a := range <-answers {
			p := a.status
			if p == nil || !p.IsPrimary || len(p.Epochs) == 0 {
				continue
			}
			if epoch := p.Epochs[len(p.Epochs)-1].Number; r.isLatest(epoch) {
				return leaderOf(p, epoch)
			}
		}
	}
	return zeo.Leader{}
}

// leaderOf names a primary so that it has another name after each time in which it was none.
func leaderOf(p *protocol.NodeStatus, epoch uint64) zeo.Leader {
	name := fmt.Sprintf("%s (node %s) in epoch %d", p.Name, p.Node, epoch)
	if p.PrimarySince == "" { // an older version
		return zeo.Leader{Name: name, For: time.Hour}
	}
	ago := min(p.PrimaryForMS, uint64(time.Hour.Milliseconds()))
	return zeo.Leader{
		Name: name + " since " + p.PrimarySince,
		For:  time.Duration(ago) * time.Millisecond,
	}
}

// isLatest reports whether no higher epoch than that of a leader has begun.
func (r *replica) isLatest(epoch uint64) bool {
	known := r.keep.State().Latest()
	for {
		seen := r.seen.Load()
		if epoch < max(seen, known) {
			return false
		}
		if r.seen.CompareAndSwap(seen, epoch) {
			return true
		}
	}
}

// serveOptions are those on which clients use the storage as long as it is open.
func (r *replica) serveOptions() zeo.StorageOptions {
	return zeo.StorageOptions{
		Access: r.access(), Cleared: r.cleared, Elsewhere: r.elsewhere, Hold: r.mayLead(), HoldFor: r.holdFor(),
		Behind: r.clientLeft,
	}
}

// mayLead reports whether this node could be primary one day. One that nobody can follow is there for readers.
func (r *replica) mayLead() bool {
	return r.starts == state.RolePrimary || r.replicationAddr != "" && r.blobs.shared == nil
}
