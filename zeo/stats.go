package zeo

import (
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/internal/histogram"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// stats are what server_status shows of a storage.
type stats struct {
	start                                     time.Time
	loads, stores, commits, aborts, conflicts atomic.Int64
	resolved                                  atomic.Int64 // conflicts that no client saw
	commitTimes                               histogram.Histogram
	invalidations                             atomic.Int64 // messages
	uploads, downloads                        atomic.Int64 // of blobs
	received, sent                            atomic.Int64 // bytes, of clients that have gone
	active, waiting                           atomic.Int64
	locked                                    atomic.Int64 // Unix microseconds; 0: the lock is free
}

// A Stats is what the clients of a storage did since it was offered.
type Stats struct {
	Clients                        int // connected now
	Loads, Stores, Commits, Aborts int64
	Conflicts, Resolved            int64              // told to clients; and merged here, so that no client saw them
	Voting                         int64              // transactions that vote or wait for the commit lock
	CommitTimes                    histogram.Snapshot // from tpc_finish to its answer
	Invalidations                  int64              // messages that were put out for clients
	Uploads, Downloads             int64              // of blobs
	Received, Sent                 int64              // bytes
	Queued                         int64              // bytes that wait for clients to read them
}

// Stats returns what the clients of a storage did; false: none of that name is offered now.
func (s *Server) Stats(name string) (Stats, bool) {
	st := s.storage(name)
	if st == nil {
		return Stats{}, false
	}
	n := &st.stats
	out := Stats{Loads: n.loads.Load(), Stores: n.stores.Load(), Commits: n.commits.Load(),
		Aborts: n.aborts.Load(), Conflicts: n.conflicts.Load(), Resolved: n.resolved.Load(), Voting: n.waiting.Load(),
		CommitTimes: n.commitTimes.Snapshot(), Invalidations: n.invalidations.Load(),
		Uploads: n.uploads.Load(), Downloads: n.downloads.Load(),
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	out.Clients, out.Received, out.Sent = len(st.clients), n.received.Load(), n.sent.Load()
	for c := range st.clients {
		out.Received += c.counters.received.Load()
		out.Sent += c.counters.sent.Load()
		out.Queued += c.out.size()
	}
	return out, true
}

// status has the keys of the reference server in their order; zeo-nagios reads it.
func (s *storage) status(visible zodb.Tid, connections int, timeout bool) *pickle.Dict {
	st := &s.stats
	var lockTime, thread pickle.Value = nil, "stub"
	if at := st.locked.Load(); at != 0 {
		lockTime = float64(at) / 1e6
	}
	if timeout {
		thread = true
	}
	return dict(
		"connections", int64(connections), "loads", st.loads.Load(), "stores", st.stores.Load(),
		"commits", st.commits.Load(), "aborts", st.aborts.Load(), "active_txns", st.active.Load(),
		"lock_time", lockTime, "conflicts", st.conflicts.Load(), "conflicts_resolved", st.resolved.Load(),
		"start", st.start.Format(time.ANSIC), "waiting", st.waiting.Load(), "timeout-thread-is-alive", thread,
		"last-transaction", visible.String(),
	)
}
