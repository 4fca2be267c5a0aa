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
// Each secondary counts once, by its node id, with what it acknowledged last. What was acknowledged stays so when the
// connection ends: it is on that secondary's disk. A secondary that connects again counts with what it then says to
// have, which is less when it was made anew. A secondary that acknowledges to another primary has ended its connection
// to this one before.
type quorum struct {
	rule    protocol.SyncRule
	applied bool // count what readers there see, not what survives a crash

	mu     sync.Mutex
	acked  map[string]zodb.Tid // by node id
	synced zodb.Tid
	moved  chan struct{} // closed and replaced when synced rises
}

func newQuorum(rule protocol.SyncRule, applied bool) *quorum {
	return &quorum{rule: rule, applied: applied, acked: make(map[string]zodb.Tid), moved: make(chan struct{})}
}

// counts reports whether a secondary is one of those that are waited for.
func (q *quorum) counts(node, name string) bool {
	names := q.rule.Names
	return node != "" && (len(names) == 0 || slices.Contains(names, name) || slices.Contains(names, node))
}

// begin takes what a secondary has when it connects.
func (q *quorum) begin(node, name string, tid zodb.Tid) {
	if !q.counts(node, name) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.acked[node] = tid
	q.count()
}

// ack takes what a secondary has acknowledged.
func (q *quorum) ack(node, name string, applied, durable zodb.Tid) {
	if !q.counts(node, name) {
		return
	}
	tid := durable
	if q.applied {
		tid = applied
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if tid > q.acked[node] {
		q.acked[node] = tid
		q.count()
	}
}

// count finds the highest transaction that enough secondaries have. It never takes back what it has once said.
func (q *quorum) count() {
	if q.rule.Required == 0 || len(q.acked) < q.rule.Required {
		return
	}
	tids := make([]zodb.Tid, 0, len(q.acked))
	for _, tid := range q.acked {
		tids = append(tids, tid)
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
	q.acked, q.synced = make(map[string]zodb.Tid), 0
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
