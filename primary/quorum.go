package primary

import (
	"context"
	"slices"
	"sync"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A quorum knows up to which transaction enough secondaries have everything. Its methods may be called concurrently.
//
// Where the rule has names, each name counts once, with the node that has it: the one that began last. Else each node
// counts, by its id. What was acknowledged stays so when the connection ends: it is on that node's disk. A node that
// connects again counts with what it then says to have, which is less when it was made anew; then it has another id as
// well, and what a node of its name had that is gone counts no more. A node that acknowledges to another primary has
// ended its connection to this one before.
type quorum struct {
	rule    protocol.SyncRule
	applied bool // count what readers there see, not what survives a crash

	mu      sync.Mutex
	credits map[string]*credit // by the name in the rule, or the node id
	living  map[string]int     // connections by node id
	synced  zodb.Tid
	moved   chan struct{} // closed and replaced when synced rises
}

// A credit is what one secondary has.
type credit struct {
	node, name string
	tid        zodb.Tid
}

func newQuorum(rule protocol.SyncRule, applied bool) *quorum {
	return &quorum{
		rule: rule, applied: applied, credits: make(map[string]*credit), living: make(map[string]int),
		moved: make(chan struct{}),
	}
}

// countsAs returns the key under which a secondary counts; empty: it is not one of those that are waited for.
func (q *quorum) countsAs(node, name string) string {
	names := q.rule.Names
	switch {
	case node == "":
		return ""
	case len(names) == 0:
		return node
	case slices.Contains(names, name):
		return name
	case slices.Contains(names, node):
		return node
	}
	return ""
}

// compare says what is new when a secondary with this last transaction counts from now on; false: it does not count.
func (q *quorum) compare(node, name string, tid zodb.Tid) (c Counting, counts bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	as := q.countsAs(node, name)
	c.Node = node
	switch had := q.credits[as]; {
	case had == nil:
	case had.node != node:
		c.Replaces = had.node
	default:
		c.Less = tid < had.tid
	}
	return c, as != ""
}

// begin takes what a secondary has when it connects. It counts until end, and with what it had then.
func (q *quorum) begin(node, name string, tid zodb.Tid) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.living[node]++
	as := q.countsAs(node, name)
	if as == "" {
		return
	}
	for other, c := range q.credits {
		if c.name == name && c.node != node && name != "" && q.living[c.node] == 0 {
			delete(q.credits, other) // this one was made in its place
		}
	}
	q.credits[as] = &credit{node, name, tid}
	q.count()
}

// end notes that a connection for which begin was called is over.
func (q *quorum) end(node string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.living[node]--; q.living[node] <= 0 {
		delete(q.living, node)
	}
}

// ack takes what a secondary has acknowledged.
func (q *quorum) ack(node, name string, applied, durable zodb.Tid) {
	tid := durable
	if q.applied {
		tid = applied
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.credits[q.countsAs(node, name)]
	if c != nil && c.node == node && tid > c.tid {
		c.tid = tid
		q.count()
	}
}

// count finds the highest transaction that enough secondaries have. It never goes back.
func (q *quorum) count() {
	if q.rule.Required == 0 || len(q.credits) < q.rule.Required {
		return
	}
	tids := make([]zodb.Tid, 0, len(q.credits))
	for _, c := range q.credits {
		tids = append(tids, c.tid)
	}
	slices.Sort(tids)
	if tid := tids[len(tids)-q.rule.Required]; tid > q.synced {
		q.synced = tid
		close(q.moved)
		q.moved = make(chan struct{})
	}
}

// state returns up to where enough secondaries have everything, and what is closed when that rises.
func (q *quorum) state() (zodb.Tid, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.synced, q.moved
}

// reset forgets everything, as when another epoch begins: what was acknowledged before may have been cut off since.
func (q *quorum) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.credits)
	q.synced = 0
}

// Synced returns the last transaction that as many secondaries have as Options.Sync requires, 0 when there is none.
func (p *Primary) Synced() zodb.Tid {
	tid, _ := p.quorum.state()
	return tid
}

// AwaitSynced waits until as many secondaries as Options.Sync requires have everything up to tid.
func (p *Primary) AwaitSynced(ctx context.Context, tid zodb.Tid) error {
	for {
		synced, moved := p.quorum.state()
		if synced >= tid {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
