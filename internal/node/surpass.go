package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A former primary that did not hear at once that its time was over has committed beside the new one, and ZEO clients
// have seen that. Their caches are ahead of the new primary, and ZEO's client uses no server that is behind its cache:
// where all have seen it, nobody commits at the new primary, which is behind for ever. So a primary that hears of a
// later transaction than its own last one, or whose clients leave as those do, writes one more transaction as the one
// with which its epoch began. The clients then hear that the end of their caches is of another history.

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
func (r *replica) clientLeft() { r.events.note(func(n *pendingEvents) { n.clientLeft = true }) }

// Surpassed is primary.Member.
func (r *replica) Surpassed(last zodb.Tid) {
	if last <= r.believed() {
		r.events.note(func(n *pendingEvents) { n.later = max(n.later, last) })
	}
}

// heardFrom compares this primary's last transaction with those of others, as they have answered. One that knows this
// primary's epoch and has a later one says that this is an older copy: then clients had better not go on here.
func (r *replica) heardFrom(answers []answer) {
	id, last := r.keep.State(), r.st.LastTid()
	older := false
	for _, a := range answers {
		if a.status == nil || a.status.IsPrimary || a.status.LastTid <= last {
			continue
		}
		if slices.ContainsFunc(a.status.Epochs, id.Epoch().Same) {
			older = true
		} else {
			r.Surpassed(a.status.LastTid)
		}
	}
	r.older.Store(older)
}

// surpass writes what makes this node's last transaction later than a tid, or than what clients may have seen. It is
// called with changing held.
func (r *replica) surpass(ctx context.Context, later zodb.Tid, clientLeft bool) {
	id, last := r.keep.State(), r.st.LastTid()
	if id == nil || len(id.Epochs) < 2 || !r.isLeading() || r.access() != zeo.Writable {
		return
	}
	if later <= last && (!clientLeft || r.older.Load() || !r.surpassed.due(last, time.Now())) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, epochMonitorInterval)
	defer cancel()
	text := fmt.Appendf(nil, "zrsd: %.200s, primary of epoch %d, goes on after what others have seen",
		r.status.base.Name, id.Epoch().Number)
	if err := r.writeEmpty(ctx, later, text); err != nil {
		r.c.Logger.Warn("some clients may have caches newer than this node; they can connect after the next commit",
			"last_tid", last, "seen_tid", later, "error", err)
		return
	}
	r.surpassed.last = r.st.LastTid()
	r.c.Logger.Info("wrote an empty transaction, newer than what clients may have seen from another primary",
		"last_tid", last, "seen_tid", later, "tid", r.surpassed.last)
}
