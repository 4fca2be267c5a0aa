package primary

import (
	"maps"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/admission"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A State says what a secondary is doing.
type State string

// The states of a secondary.
const (
	StateHandshake    State = "handshake"    // connected, not yet accepted
	StateSeeding      State = "seeding"      // gets the data file as it is
	StateCatchingUp   State = "catching-up"  // applying history
	StateLive         State = "live"         // following commits as they happen
	StateStalled      State = "stalled"      // connected and behind, without progress, or reporting an error
	StateRefused      State = "refused"      // told why not, about to be disconnected
	StateDisconnected State = "disconnected" // the connection has ended
)

// liveLag is how far behind a secondary that has once reached the end may be and still count as live.
const liveLag = 10 * time.Second

const (
	maxGone     = 16 // disconnected secondaries that Status remembers
	maxRefusals = 16
)

// A Status is a snapshot of a Primary, in the form in which it is shown as JSON.
type Status struct {
	StorageID string           `json:"storage_id"`
	Epochs    []protocol.Epoch `json:"epochs"`
	LastTid   zodb.Tid         `json:"last_tid"`
	LastTime  time.Time        `json:"last_time"` // that LastTid encodes
	Size      int64            `json:"size"`      // bytes of the file
	Draining  bool             `json:"draining"`
	// SourceError is the last failure to read the storage, until a secondary has got everything again.
	SourceError     string            `json:"source_error"`
	SourceErrorTime time.Time         `json:"source_error_time"`
	Secondaries     []SecondaryStatus `json:"secondaries"` // in the order of connecting; the disconnected last
	Refusals        []RefusedPeer     `json:"refusals"`    // the last ones, oldest first
	Totals          Totals            `json:"totals"`
}

// Totals only ever rise while the process lives.
type Totals struct {
	Connections int64 `json:"connections"`
	Refused     int64 `json:"refused"`
	// Refusals counts the same by reason.
	Refusals     map[protocol.Code]int64 `json:"refusals"`
	Transactions int64                   `json:"transactions"` // sent, to all secondaries together
	Bytes        int64                   `json:"bytes"`        // sent on replication streams
	CatchUps     CatchUps                `json:"catch_ups"`
}

// CatchUps count what secondaries lacked when they connected, in the words of OpenStack Swift's replicators. Each
// connection that was accepted is one attempt.
type CatchUps struct {
	Attempted  int64 `json:"attempted"`
	NoChange   int64 `json:"no_change"`   // it had everything
	Diff       int64 `json:"diff"`        // it gets transactions one by one
	Seed       int64 `json:"seed"`        // it gets parts of the data file
	DiffCapped int64 `json:"diff_capped"` // seeds that were ended for the turn of another one
}

// caughtUp changes what is counted of that.
func (p *Primary) caughtUp(change func(*CatchUps)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.roster.totals.CatchUps)
}

// count notes what a secondary gets that begins after start.
func (t *CatchUps) count(seeded bool, start, last zodb.Tid) {
	t.Attempted++
	switch {
	case seeded:
		t.Seed++
	case start >= last:
		t.NoChange++
	default:
		t.Diff++
	}
}

// A SecondaryStatus is what the primary knows of one secondary.
type SecondaryStatus struct {
	Name            string    `json:"name"`             // as it calls itself
	Node            string    `json:"node"`             // its id; empty: not known
	ReplicationAddr string    `json:"replication_addr"` // where others can connect to it; empty: nowhere
	Addr            string    `json:"addr"`
	State           State     `json:"state"`
	Protocol        string    `json:"protocol"` // as it is called on the wire; empty before the first message
	Silent          bool      `json:"silent"`   // it acknowledges nothing: Lag counts what was not sent to it
	AppliedTid      zodb.Tid  `json:"applied_tid"`
	DurableTid      zodb.Tid  `json:"durable_tid"`
	SentTid         zodb.Tid  `json:"sent_tid"`
	Lag             Lag       `json:"lag"`
	ConnectedSince  time.Time `json:"connected_since"`
	GoneSince       time.Time `json:"gone_since,omitzero"`
	LastHeard       time.Time `json:"last_heard,omitzero"`
	Transactions    int64     `json:"transactions"` // sent on this connection
	Bytes           int64     `json:"bytes"`        // sent on this connection's replication stream
	LastError       string    `json:"last_error"`   // its own, from its acknowledgements, or why the connection ended
	// Trouble is what kind of error it has reported: see protocol.TroubleNotMounted. Empty: another one, or none.
	Trouble string `json:"trouble"`
	// Replaced is the node that had its name before and had transactions, where this one began with none: its disk may
	// not be mounted. Nil: there was none, or that is not known.
	Replaced *Replaced `json:"replaced"`
	// Once says that it makes a copy and ends: it is no member of the cluster.
	Once bool `json:"once"`
	// Seed is how far it is in getting the data file as it is. Nil: it gets its transactions one by one.
	Seed *SeedStatus `json:"seed"`
}

// A Replaced is a node that was in the place of another one.
type Replaced struct {
	Node       string   `json:"node"`
	DurableTid zodb.Tid `json:"durable_tid"`
}

// A RefusedPeer is one refused attempt.
type RefusedPeer struct {
	Time time.Time     `json:"time"`
	Addr string        `json:"addr"`
	Name string        `json:"name"`
	Code protocol.Code `json:"code"`
	Text string        `json:"text"`
	Tid  zodb.Tid      `json:"tid"`
}

// A roster has the connections that exist, that have ended, and that were refused. The Primary's mutex guards it.
type roster struct {
	peers       []*peer
	gone        []SecondaryStatus
	refusals    []RefusedPeer
	totals      Totals
	sourceError string
	// sourceErrorTime is when it came. It is over when a secondary that connected later has got everything.
	sourceErrorTime time.Time
}

func (r *roster) connected() int { return len(r.peers) }

// at counts the connections that have a place.
func (r *roster) at(where slot) (n int) {
	for _, c := range r.peers {
		if c.slot == where {
			n++
		}
	}
	return n
}

func (r *roster) enter(c *peer) {
	r.totals.Connections++
	r.peers = append(r.peers, c)
}

// leave keeps the last state of a peer that has got past its handshake, in place of older ones of the same name; not
// where one of that name is there, whose connection began before the end of this one was noticed.
func (r *roster) leave(c *peer, last SecondaryStatus, keep bool) {
	for i, other := range r.peers {
		if other == c {
			r.peers = append(r.peers[:i:i], r.peers[i+1:]...)
			break
		}
	}
	r.totals.Transactions += last.Transactions
	r.totals.Bytes += last.Bytes
	if !keep {
		return
	}
	live := r.streams(last.Name)
	if len(live) == 0 {
		r.forget(last.Name)
		r.gone = appendBounded(r.gone, last, maxGone)
	}
	for _, c := range live { // it came before the end of this one was noticed
		c.compareBefore(&last)
	}
}

// streams returns the connections of secondaries of that name that are accepted.
func (r *roster) streams(name string) (list []*peer) {
	for _, c := range r.peers {
		c.mu.Lock()
		if c.name == name && c.state == StateLive {
			list = append(list, c)
		}
		c.mu.Unlock()
	}
	return list
}

// forget drops the gone secondary of that name.
func (r *roster) forget(name string) {
	kept := r.gone[:0]
	for _, s := range r.gone {
		if s.Name != name {
			kept = append(kept, s)
		}
	}
	r.gone = kept
}

// appendBounded drops the oldest of more than limit elements.
func appendBounded[T any](s []T, v T, limit int) []T {
	if len(s) == limit {
		s = append(s[:0], s[1:]...)
	}
	return append(s, v)
}

// refused counts a refusal, and logs and remembers it unless the same was said to the same source a short while ago.
func (p *Primary) refused(addr net.Addr, name string, r *protocol.Refusal) {
	level := hclog.Info
	args := []any{"addr", addr.String(), "name", name, "code", int(r.Code), "reason", r.Text, "tid", r.Tid}
	if r.Code != protocol.CodeShuttingDown && r.Code != protocol.CodeOutranked { // these pass by themselves
		level, args = hclog.Warn, append(args, "warning", warning.SecondaryRefused)
	}
	news := p.logLimit.Log(p.log, level, admission.Source(addr)+" "+name, r.Text, "refused a secondary", args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster.totals.Refused++
	if p.roster.totals.Refusals == nil {
		p.roster.totals.Refusals = make(map[protocol.Code]int64)
	}
	p.roster.totals.Refusals[r.Code]++
	if !news {
		return
	}
	p.roster.refusals = appendBounded(p.roster.refusals, RefusedPeer{
		Time: p.opt.now(), Addr: addr.String(), Name: name, Code: r.Code, Text: r.Text, Tid: r.Tid,
	}, maxRefusals)
}

// Status returns a snapshot.
func (p *Primary) Status() Status {
	s := Status{
		LastTid: p.src.LastTid(), Size: p.src.Size(),
		Secondaries: []SecondaryStatus{}, Refusals: []RefusedPeer{}, // empty, not null
	}
	if s.LastTid != 0 {
		s.LastTime = s.LastTid.Time()
	}
	s.StorageID, s.Epochs = p.opt.Identity()
	now := p.opt.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Draining = p.draining.Err() != nil
	s.Refusals = append(s.Refusals, p.roster.refusals...)
	s.Totals = p.roster.totals
	s.Totals.Refusals = maps.Clone(p.roster.totals.Refusals)
	for _, c := range p.roster.peers {
		one := c.status(s.LastTid, s.Size, now)
		s.Totals.Transactions += one.Transactions
		s.Totals.Bytes += one.Bytes
		if !c.asks {
			s.Secondaries = append(s.Secondaries, one)
		}
		if one.State == StateLive && one.ConnectedSince.After(p.roster.sourceErrorTime) {
			p.roster.sourceError = ""
		}
	}
	if s.SourceError = p.roster.sourceError; s.SourceError != "" {
		s.SourceErrorTime = p.roster.sourceErrorTime
	}
	for _, one := range p.roster.gone {
		one.Lag = lagOfGone(one, s.LastTid, now)
		s.Secondaries = append(s.Secondaries, one)
	}
	return s
}

// lagOfGone brings the lag of a disconnected secondary up to date as far as it can be known.
func lagOfGone(g SecondaryStatus, last zodb.Tid, now time.Time) Lag {
	has := g.DurableTid
	if g.Silent {
		has = g.SentTid
	}
	if has >= last {
		return Lag{Exact: !g.Silent}
	}
	lag := g.Lag
	lag.Exact = false
	lag.Transactions = max(lag.Transactions, 1)
	if lag.Seconds > 0 {
		lag.Seconds += now.Sub(g.GoneSince).Seconds()
	} else {
		lag.Seconds = max(now.Sub(last.Time()).Seconds(), 0)
	}
	return lag
}
