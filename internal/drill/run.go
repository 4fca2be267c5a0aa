package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/drill/cluster"
	"github.com/zrsd/zrsd/internal/drill/workload"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zodb"
)

// A Run is a scenario while it is played. It is for one goroutine.
type Run struct {
	*cluster.Cluster
	primary *cluster.Node // that shall be primary now
	former  *cluster.Node // who was it before; nil: nobody
	load    *workload.Load
	peers   peers
	rand    *rand.Rand
	begun   time.Time

	mark   zodb.Tid            // that every node had when that was last so
	packed [][]consistency.Txn // what nodes had before they were packed
	cut    zodb.Tid            // the first transaction that was cut off, in the end; 0: none was

	periods   []consistency.PrimaryPeriod
	events    []Event
	failovers int
	byHand    int           // rewinds by an operator
	redundant time.Duration // the longest time until every node had everything again
	broken    int64         // since when that is not so, by the clock; 0: it is
}

// An Event is something that happened, for the timeline.
type Event struct {
	At   int64  `json:"at_ns"`
	Kind string `json:"kind"` // "fault", "role" or "note"
	Text string `json:"text"`
}

// The kinds of events.
const (
	faultEvent = "fault"
	roleEvent  = "role"
	noteEvent  = "note"
)

func (r *Run) clock() int64 { return int64(time.Since(r.begun)) + 1 }

func (r *Run) note(kind, format string, args ...any) {
	r.events = append(r.events, Event{r.clock(), kind, fmt.Sprintf(format, args...)})
}

// fault notes something that takes redundancy away.
func (r *Run) fault(format string, args ...any) {
	r.note(faultEvent, format, args...)
	if r.broken == 0 {
		r.broken = r.clock()
	}
}

// endPrimaryPeriod: from now on nobody is sure to be the only primary.
func (r *Run) endPrimaryPeriod() {
	if last := &r.periods[len(r.periods)-1]; last.Until == 0 {
		last.Until = r.clock()
	}
}

// beginPrimaryPeriod: from now on this node is.
func (r *Run) beginPrimaryPeriod(n *cluster.Node) {
	if n != r.primary {
		r.former, r.primary = r.primary, n
		r.failovers++
	}
	r.periods = append(r.periods, consistency.PrimaryPeriod{Node: n.Name, Since: r.clock()})
	r.note(roleEvent, "%s is primary", n.Name)
}

// objects are those of the clients.
func (r *Run) objects() map[zodb.Oid]bool {
	set := map[zodb.Oid]bool{r.load.Counter: true}
	for _, oid := range r.load.Objects {
		set[oid] = true
	}
	return set
}

// others returns the nodes that are not primary, in random order.
func (r *Run) others() []*cluster.Node {
	var list []*cluster.Node
	for _, i := range r.rand.Perm(len(r.Nodes)) {
		if n := r.Nodes[i]; n != r.primary {
			list = append(list, n)
		}
	}
	return list
}

// pick returns a secondary.
func (r *Run) pick() *cluster.Node { return r.others()[0] }

// A notTrueError says that a step did not come true in time.
type notTrueError struct{ what string }

func (e *notTrueError) Error() string { return "timed out, waiting until " + e.what }

// until waits until cond holds.
func until(ctx context.Context, what string, cond func() bool) error {
	for !cond() {
		if err := later(ctx, what); err != nil {
			return err
		}
	}
	return nil
}

// later lets a little time pass before it is looked again whether something has come true.
func later(ctx context.Context, what string) error {
	if !pause.For(ctx, poll) {
		return &notTrueError{what}
	}
	return nil
}

// poll is how often it is looked whether something has come true.
const poll = 10 * time.Millisecond

// refused returns the reason of a refusal, empty for none.
func refused(err error) admin.Reason {
	var refusal *admin.Refusal
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}
