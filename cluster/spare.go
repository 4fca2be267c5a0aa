package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A spare is a secondary that follows the primary only while another node is out: its disk has failed, or it is gone.
// Otherwise it follows nobody, and answers and votes with the copy that it has. For all rules it is a secondary like
// any other: one that follows nobody is like one that cannot reach the primary for a while, and nothing that it has
// acknowledged is ever taken away from it.

// DefaultSpareAfter is how long another node must be out before a spare takes its place.
const DefaultSpareAfter = 30 * time.Second

// spareRelease is at how many looks in a row all others must have everything before a spare is let go.
const spareRelease = 3

// spareText says why a spare that follows nobody does not lead.
const spareText = "it is a spare, and follows nobody while all other nodes have everything: it may lack the last " +
	"transactions"

// A spare is what a spare knows of the others.
type spare struct {
	mu    sync.Mutex
	idle  bool   // it follows nobody
	out   string // the node that is out, as the last look found it; empty: none is
	since time.Time
}

// isSpare reports whether this node follows the primary only while another node is out.
func (n *Node) isSpare() bool { return n.opt.SpareAfter > 0 }

// SpareIdle reports whether this node is a spare that follows nobody.
func (n *Node) SpareIdle() bool {
	n.spare.mu.Lock()
	defer n.spare.mu.Unlock()
	return n.spare.idle && !n.IsPrimary()
}

// followAsSpare follows the primary until ctx ends or that cannot go on, while that is needed: at first, so that there
// is a copy, and then while another node is out.
func (n *Node) followAsSpare(ctx context.Context) error {
	for {
		if n.SpareIdle() && !n.awaitNeed(ctx) {
			return nil
		}
		if err := n.followWhileNeeded(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		n.spare.set(true)
		n.opt.Logger.Info("all other nodes have everything: this spare follows nobody until one of them is out")
	}
}

func (s *spare) set(idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle, s.out, s.since = idle, "", time.Time{}
}

// followWhileNeeded follows the primary until all others have everything.
func (n *Node) followWhileNeeded(ctx context.Context) error {
	run, end := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		defer end()
		n.awaitRelease(run)
	})
	defer looking.Wait()
	defer end()
	return n.sec.Run(run)
}

// awaitRelease returns when all other nodes have everything at several looks in a row, and this copy is complete, or
// when ctx ends.
func (n *Node) awaitRelease(ctx context.Context) {
	var before lookOfSpare
	for looks := 0; looks < spareRelease; {
		if pause.For(ctx, epochMonitorInterval); ctx.Err() != nil {
			return
		}
		found := n.lookAtOthers(ctx, before.last)
		id := n.keep.State()
		if looks++; !before.primary || !found.primary || found.out != "" || id == nil || id.Learner {
			looks = 0
		}
		before = found
	}
}

// awaitNeed reports whether another node has been out for long enough; false: ctx has ended.
func (n *Node) awaitNeed(ctx context.Context) bool {
	var before lookOfSpare
	for {
		found := n.lookAtOthers(ctx, before.last)
		if ctx.Err() != nil {
			return false
		}
		if n.spare.missing(found, time.Now(), n.opt.SpareAfter) {
			n.opt.Logger.Info("another node is out: this spare takes its place", "address", found.out)
			n.spare.set(false)
			return true
		}
		before = found
		pause.For(ctx, epochMonitorInterval)
	}
}

// missing notes what a look has found, and reports whether some node has been out for so long.
func (s *spare) missing(found lookOfSpare, now time.Time, after time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !found.primary || found.out == "":
		s.out, s.since = "", time.Time{}
		return false
	case s.since.IsZero():
		s.since = now
	}
	s.out = found.out
	return now.Sub(s.since) >= after
}

// A lookOfSpare is what the other nodes have answered.
type lookOfSpare struct {
	primary bool     // one is primary
	last    zodb.Tid // what that had
	out     string   // the first address whose node is out; empty: none is
}

// lookAtOthers asks the nodes of the configuration. A node is out that does not answer, has a fault, or lacks something
// of what the primary had at the look before: what it has got since then is on its way.
func (n *Node) lookAtOthers(ctx context.Context, had zodb.Tid) (found lookOfSpare) {
	answers := n.askStatus(ctx, n.addressesTold())
	var leads *protocol.NodeStatus
	for _, a := range answers {
		if s := a.status; s != nil && s.IsPrimary && (leads == nil || s.Begun() > leads.Begun()) {
			leads = s
		}
	}
	if leads == nil {
		return found
	}
	found.primary, found.last = true, leads.LastTid
	for _, a := range answers {
		if s := a.status; s == leads || s != nil && s.Spare {
			continue
		} else if s == nil || s.IsPrimary || s.FaultReason != "" || s.Learner || s.LastTid < had {
			found.out = a.addr
			return found
		}
	}
	return found
}
