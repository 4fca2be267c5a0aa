package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
)

// The roles, as status, logs and metrics name them.
const (
	rolePrimary    = "primary"
	roleSecondary  = "secondary"
	roleStandalone = "standalone"
)

// stateOpening is the state of a secondary whose storage is not open yet; the others are those of package secondary.
const stateOpening = "opening"

// A nodeStatus is what a node shows to its admin server, from before the storage is open until the end. It may be used
// concurrently.
type nodeStatus struct {
	board *watchdog.Board // what the storage and its parts wait for
	// clients is what ZEO clients did, false while there are none. Nil: this process serves none.
	clients func() (zeo.Stats, bool)
	front   front        // nil: likewise
	base    admin.Status // what never changes
	storage string       // what the only storage of a process is called; empty: it has no name, or there are others
	// verifier has what verifications have found; nil: nothing verifies the storage.
	verifier *verify.Verifier
	healer   *healer
	packs    *packplan.Plan // nil: there is no schedule
	configs  []*Config      // what settings may be wrong in
	warnings warning.List

	mu      sync.Mutex
	phase   string              // why the node is not ready, while show is nil
	failure string              // what made the storage close before its time
	show    func(*admin.Status) // fills in what an open storage and its parts say
	// peers is what is known of the other nodes. Nil: there are none, or the storage is not open.
	peers func(ctx context.Context, since time.Time) []cluster.Peer
}

func newNodeStatus(role string, c *Config) *nodeStatus {
	return &nodeStatus{
		board: c.board, clients: c.clientStats, front: c.front, configs: []*Config{c},
		base: admin.Status{
			Version: Version(), Role: role, Name: c.name(), Started: time.Now().UTC(),
			Storage: admin.Storage{Path: c.Data, Blobs: c.Blobs != "", Shared: c.SharedBlobs},
		},
		phase: "starting",
	}
}

// name is how the node is called.
func (c *Config) name() string {
	if c.Name != "" {
		return c.Name
	}
	return nodeName(c.Data)
}

// nodeName is how a node calls itself: its host and the data file.
func nodeName(data string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	if abs, err := filepath.Abs(data); err == nil {
		data = abs
	}
	return host + ":" + data
}

// OnlyStorage is admin.Only.
func (f *nodeStatus) OnlyStorage() string { return f.storage }

// Status is admin.Source.
func (f *nodeStatus) Status() admin.Status {
	f.mu.Lock()
	show, phase, failure := f.show, f.phase, f.failure
	f.mu.Unlock()
	st := f.base
	st.Now = time.Now().UTC()
	if show != nil {
		show(&st)
		f.showFront(&st)
		f.showClients(&st)
		f.showMoments(&st)
		showStalls(&st, f.board.Stalls(st.Now))
		f.showPacks(&st)
		f.showVerify(&st)
		f.showArchive(&st)
		f.showWarnings(&st)
		return st
	}
	f.showVerify(&st)
	f.showArchive(&st)
	f.showPacks(&st)
	st.NotReady, st.Closed = &phase, true
	if st.Role == roleSecondary {
		st.Upstream = &admin.Upstream{State: stateOpening, LastError: admin.NonZero(failure)}
		if failure != "" {
			st.Upstream.State = string(secondary.StateFailed)
		}
	}
	f.showWarnings(&st)
	return st
}

// showFront makes a node that ZEO clients cannot reach yet, or not any more, one that is not ready.
func (f *nodeStatus) showFront(st *admin.Status) {
	if st.Ready && f.front != nil && !f.front.Listening() {
		st.Ready, st.NotReady = false, admin.Known("the ZEO server takes no connections: it begins when all storages "+
			"of this process are open, and ends before they close")
	}
}

// showClients fills in what ZEO clients do and did.
func (f *nodeStatus) showClients(st *admin.Status) {
	if f.clients == nil {
		return
	}
	s, offered := f.clients()
	if !offered {
		return
	}
	st.ZEO = &admin.ZEO{
		Clients: s.Clients, Loads: s.Loads, Stores: s.Stores, Commits: s.Commits, Aborts: s.Aborts,
		Conflicts: s.Conflicts, Resolved: s.Resolved, Voting: s.Voting, Commit: admin.DurationsOf(s.CommitTimes),
		Invalidations: s.Invalidations, Uploads: s.Uploads, Downloads: s.Downloads, Received: s.Received, Sent: s.Sent,
		Queued: s.Queued,
	}
}

// showMoments fills in the moments that are served.
func (f *nodeStatus) showMoments(st *admin.Status) {
	for _, c := range f.configs {
		c.showMoments(st)
	}
}

// opened makes the status show what an open node says.
func (f *nodeStatus) opened(show func(*admin.Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.show, f.failure = show, ""
}

// joined makes what is known of other nodes seen, until the storage is closed.
func (f *nodeStatus) joined(n *cluster.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peers = n.PeersSince
}

// waits makes the status say why there is nothing to show, now or any more.
func (f *nodeStatus) waits(phase string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.show, f.peers, f.phase = nil, nil, phase
}

// failed notes why the storage was closed before its time.
func (f *nodeStatus) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failure = err.Error()
}

// nodeStatuses are what a process of several storages shows. It may be used concurrently.
type nodeStatuses []*member

func sourceOf(members []*member) admin.Source {
	if len(members) == 1 {
		members[0].status.storage = members[0].storage
		return members[0].status
	}
	return nodeStatuses(members)
}

// Status is admin.Source: the document of the first storage, ready when all are, with the list of all.
func (fs nodeStatuses) Status() admin.Status {
	var st admin.Status
	var list []admin.Member
	var notReady *string
	for i, m := range fs {
		one := m.status.Status()
		if i == 0 {
			st = one
		}
		list = append(list, admin.Member{Name: m.name, Role: one.Role, Ready: one.Ready, NotReady: one.NotReady})
		if !one.Ready && notReady == nil {
			why := "not ready"
			if one.NotReady != nil {
				why = *one.NotReady
			}
			notReady = admin.Known(fmt.Sprintf("storage %s: %s", m.name, why))
		}
	}
	st.Storages, st.Ready, st.NotReady = list, notReady == nil, notReady
	return st
}

// Names is admin.Sources.
func (fs nodeStatuses) Names() (names []string) {
	for _, m := range fs {
		names = append(names, m.name)
	}
	return names
}

// Storage is admin.Sources.
func (fs nodeStatuses) Storage(name string) admin.Source {
	for _, m := range fs {
		if m.name == name {
			return m.status
		}
	}
	return nil
}
