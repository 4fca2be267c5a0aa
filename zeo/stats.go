package zeo

import (
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// stats are what server_status tells of a storage.
type stats struct {
	start                                     time.Time
	loads, stores, commits, aborts, conflicts atomic.Int64
	resolved                                  atomic.Int64 // conflicts that no client saw
	active, waiting                           atomic.Int64
	locked                                    atomic.Int64 // Unix microseconds; 0: the lock is free
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
