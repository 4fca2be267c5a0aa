package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// holdFor is for how long there must be no primary before clients that want to write are admitted as readers. A
// coordinator finds a new primary in less time.
func (n *Node) holdFor() time.Duration {
	if n.failover == nil {
		return defaultHoldFor
	}
	return max(defaultHoldFor, 2*n.failover.timing.TTL+defaultHoldFor/2)
}

const defaultHoldFor = 15 * time.Second

// leaderElsewhere is zeo.StorageOptions.Elsewhere: it asks all members. What a connection of before says does not
// count: a client that has lost its primary is here before replication has noticed.
func (n *Node) leaderElsewhere(ctx context.Context) zeo.Leader {
	id, now := n.keep.State(), n.sec.Status()
	switch {
	case n.IsPrimary() && !n.Fenced():
		return zeo.Leader{}
	case now.Connected && now.Protocol != protocol.Native: // a zc.zrs answers no questions
		return zeo.Leader{Name: "a zc.zrs at " + now.Address, For: time.Hour} // it does not say for how long
	case id == nil:
		return zeo.Leader{}
	}
	return n.leaderAmong(ctx, n.others())
}

// leaderAmong returns the first node that says that it leads, in an epoch as high as any that is known to have begun.
// Those that have not answered by then are left alone: the session waits for their answers, which are bounded in time.
func (n *Node) leaderAmong(ctx context.Context, addresses []string) zeo.Leader {
	answers := make(chan []answer, len(addresses))
	for _, addr := range addresses {
		n.asked.Go(func() { answers <- n.askStatus(ctx, []string{addr}) })
	}
	for range addresses {
		for _, a := range <-answers {
			p := a.status
			if p == nil || !p.IsPrimary || len(p.Epochs) == 0 {
				continue
			}
			if epoch := p.Epochs[len(p.Epochs)-1].Number; n.isLatest(epoch) {
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
		return zeo.Leader{Name: name, For: time.Hour, Last: p.LastTid}
	}
	ago := min(p.PrimaryForMS, uint64(time.Hour.Milliseconds()))
	return zeo.Leader{
		Name: name + " since " + p.PrimarySince,
		For:  time.Duration(ago) * time.Millisecond,
		Last: p.LastTid,
	}
}

// isLatest reports whether no higher epoch than that of a leader has begun.
func (n *Node) isLatest(epoch uint64) bool {
	known := n.keep.State().Latest()
	for {
		seen := n.highestLeader.Load()
		if epoch < max(seen, known) {
			return false
		}
		if n.highestLeader.CompareAndSwap(seen, epoch) {
			return true
		}
	}
}

// serveOptions are those on which clients use the storage as long as it is open.
func (n *Node) serveOptions() zeo.StorageOptions {
	return zeo.StorageOptions{
		Access:         n.Access(),
		AwaitCommitted: n.awaitCommitted,
		Elsewhere:      n.leaderElsewhere,
		Hold:           n.mayLead(),
		HoldFor:        n.holdFor(),
		Behind:         n.clientLeft,
	}
}

// mayLead reports whether this node could be primary one day. One that nobody can follow is there for readers.
func (n *Node) mayLead() bool {
	return n.opt.Starts == state.RolePrimary || n.opt.ReplicationAddr != "" && n.opt.canLead()
}

// A former primary that did not hear at once that its time was over has committed beside the new one, and ZEO clients
// have seen that. Their caches are ahead of the new primary, and ZEO's client uses no server that is behind its cache:
// if all clients have seen it, none commits at the new primary, which stays behind for ever. So a primary that hears of
// a later transaction than its own last one, or whose clients leave as those do, writes one more empty transaction like
// the one with which its epoch began. The clients then learn that the end of their caches is of another history.

// A surpassing is how often such transactions were written only because clients had left, which says little.
type surpassing struct {
	last  zodb.Tid      // of the transaction that was written last
	next  time.Time     // not before
	pause time.Duration // after which
}

// The pauses between such transactions where nobody commits.
const (
	surpassPause = time.Minute
	surpassMost  = 24 * time.Hour
)

// due reports whether there is reason to write one, and notes that.
func (s *surpassing) due(last zodb.Tid, now time.Time) bool {
	switch {
	case now.Before(s.next):
		return false
	case last != s.last: // somebody has committed
		s.pause = surpassPause
	default:
		s.pause = min(2*s.pause, surpassMost)
	}
	s.next = now.Add(s.pause)
	return true
}

// clientLeft is zeo.StorageOptions.Behind.
func (n *Node) clientLeft() { n.events.note(func(e *pendingEvents) { e.clientLeft = true }) }

// Surpassed is primary.Member.
func (n *Node) Surpassed(last zodb.Tid) {
	if last <= n.highestBelieved() {
		n.events.note(func(e *pendingEvents) { e.later = max(e.later, last) })
	}
}

// heardFrom compares this primary's last transaction with those of others, as they have answered. One that knows this
// primary's epoch and has a later one says that this is an older copy: then clients had better not go on here.
func (n *Node) heardFrom(answers []answer) {
	id, last := n.keep.State(), n.st.LastTid()
	older := false
	for _, a := range answers {
		if a.status == nil || a.status.IsPrimary || a.status.LastTid <= last {
			continue
		}
		if slices.ContainsFunc(a.status.Epochs, id.Epoch().Same) {
			older = true
		} else {
			n.Surpassed(a.status.LastTid)
		}
	}
	n.secondaryAhead.Store(older)
}

// surpass writes what makes this node's last transaction later than a tid, or than what clients may have seen. It is
// called with changing held.
func (n *Node) surpass(ctx context.Context, later zodb.Tid, clientLeft bool) {
	id, last := n.keep.State(), n.st.LastTid()
	if id == nil || len(id.Epochs) < 2 || !n.IsPrimary() || n.Access() != zeo.Writable {
		return
	}
	if later <= last && (!clientLeft || n.secondaryAhead.Load() || !n.surpassed.due(last, time.Now())) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, epochMonitorInterval)
	defer cancel()
	text := fmt.Appendf(nil, "zrsd: %.200s, primary of epoch %d, goes on after what others have seen",
		n.opt.Name, id.Epoch().Number)
	if err := n.writeEmpty(ctx, later, text); err != nil {
		n.opt.Logger.Info("some clients may have caches newer than this node; they can connect after the next commit",
			"last_tid", last, "seen_tid", later, "error", err)
		return
	}
	n.surpassed.last = n.st.LastTid()
	n.opt.Logger.Info("wrote an empty transaction, newer than what clients may have seen from another primary",
		"last_tid", last, "seen_tid", later, "tid", n.surpassed.last)
}
