package zeo

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// A ClientInfo is how a connection is at a moment. Clients say nothing about themselves but a label: no version of
// theirs is known beyond the encoding they chose.
type ClientInfo struct {
	Address  string // of the other side; empty for a Unix socket
	Label    string // as it calls itself; empty: it does not
	Storage  string // empty: it has not said which one
	Encoding string // wire.Z5 or wire.M5; empty: it has not said
	ReadOnly bool
	Since    time.Time // when it connected

	Doing      Activity
	DoingSince time.Time // zero for Connecting and Idle
	Outbox     int64     // bytes that wait for it to read

	Loads, Stores, Commits int64 // of this connection
}

// An Activity is what a client is in the middle of.
type Activity string

// The activities. Of several at a time a client is shown with the last one in this list.
const (
	Connecting Activity = "connecting" // it has not entered a storage
	Idle       Activity = "idle"       // it may load, which is over before anybody looks
	Buffering  Activity = "buffering"  // it fills a transaction
	Waiting    Activity = "waiting"    // for the commit lock
	Voting     Activity = "voting"     // its transaction is applied under the commit lock
	Holding    Activity = "holding"    // it has voted, and holds the commit lock until it finishes or aborts
	Uploading  Activity = "uploading"  // it sends a blob
	Packing    Activity = "packing"    // it waits for a pack
)

// clientInfo is what others may see of a client, beside what is constant.
type clientInfo struct {
	entered   atomic.Pointer[entry] // nil: not yet
	txn       atomic.Pointer[transaction]
	uploading atomic.Pointer[time.Time] // nil: no
	packing   atomic.Pointer[time.Time]

	loads, stores, commits atomic.Int64
	received, sent         atomic.Int64 // bytes
}

// An entry is what a client said when it entered. It is never changed.
type entry struct {
	storage, encoding, label string
	readOnly                 bool
}

// named is the entry of a client that has named itself.
func (e entry) named(label string) *entry {
	e.label = label
	return &e
}

func now() *time.Time {
	t := time.Now()
	return &t
}

// Clients returns all connections, the oldest first. Nobody waits for it longer than for a look.
func (s *Server) Clients() []ClientInfo {
	s.mu.Lock()
	all := make([]*client, 0, len(s.clients))
	for c := range s.clients {
		all = append(all, c)
	}
	s.mu.Unlock()
	infos := make([]ClientInfo, len(all))
	for i, c := range all {
		infos[i] = c.info()
	}
	slices.SortFunc(infos, func(a, b ClientInfo) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Address, b.Address))
	})
	return infos
}

func (c *client) info() ClientInfo {
	info := ClientInfo{Address: c.address(), Since: c.since, Doing: Connecting, Outbox: c.out.size()}
	if e := c.counters.entered.Load(); e != nil {
		info.Storage, info.Encoding, info.Label, info.ReadOnly = e.storage, e.encoding, e.label, e.readOnly
		info.Doing, info.DoingSince = c.counters.activity()
	}
	// After the activity, so that for a client that is seen idle all its calls are counted.
	info.Loads, info.Stores, info.Commits = c.counters.loads.Load(), c.counters.stores.Load(), c.counters.commits.Load()
	return info
}

// address returns that of the other side; those of Unix sockets say nothing.
func (c *client) address() string {
	if a := c.conn.RemoteAddr(); a.Network() != "unix" {
		return a.String()
	}
	return ""
}

func (s *clientInfo) activity() (Activity, time.Time) {
	if at := s.packing.Load(); at != nil {
		return Packing, *at
	}
	if at := s.uploading.Load(); at != nil {
		return Uploading, *at
	}
	if t := s.txn.Load(); t != nil {
		return t.activity()
	}
	return Idle, time.Time{}
}

func (t *transaction) activity() (Activity, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.state == locked:
		return Holding, t.since
	case t.state == waiting && t.applies:
		return Voting, t.since
	case t.state == waiting:
		return Waiting, t.since
	}
	return Buffering, t.since
}

// enter is called with mu held.
func (t *transaction) enter(s voteState) { t.state, t.applies, t.since = s, false, time.Now() }

// apply notes that a vote waits no more.
// apply notes that the vote has the commit lock.
func (t *transaction) apply() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applies, t.since = true, time.Now()
}

func (c *client) countStore() {
	c.storage.stats.stores.Add(1)
	c.counters.stores.Add(1)
}
