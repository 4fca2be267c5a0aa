package secondary

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A tracker collects what Status shows. It may be used concurrently.
type tracker struct {
	now func() time.Time

	mu          sync.Mutex
	st          Status
	connected   bool     // accepted by a primary
	zrs2        bool     // the primary speaks zrs2: it says nothing of itself
	streamEnded bool     // where blind: the stream was once read to its end
	planned     bool     // the last connection was left for the next one
	useful      bool     // the present connection, or the last one, has brought something
	own         zodb.Tid // last durable transaction here, as of this connection
	goal        zodb.Tid // live when own has reached it: the primary's last one, as it last told
	received    zodb.Tid // last transaction that began to arrive
	seedFrom    int64    // where the seed began

	clock    time.Time // the primary's, when it was last heard
	complete time.Time // the primary's clock when this secondary was last known to have everything; zero: never
}

func newTracker(now func() time.Time) *tracker {
	t := &tracker{now: now, st: Status{Refusals: make(map[protocol.Code]int64)}}
	t.set(StateConnecting)
	return t
}

func (t *tracker) set(s State) {
	if t.st.State != s {
		t.st.State, t.st.Since = s, t.now()
	}
}

func (t *tracker) enter(s State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connected, t.st.Seed = false, nil
	t.set(s)
}

// accepted counts a connection that a primary accepted.
func (t *tracker) accepted() {
	if t.st.Connections > 0 && !t.planned {
		t.st.Reconnects++
	}
	t.planned = false
	t.st.Connections++
}

// left notes that the last connection ended as it was to.
func (t *tracker) left() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.planned = true
}

// leaves notes that a connection ended, and that the next one follows at once where that is what it was to do.
func (t *tracker) leaves(err error) {
	if again(err) {
		t.left()
	}
	if errors.Is(err, errSeeded) || errors.Is(err, errSameFile) {
		t.enter(StateConnecting)
	}
}

// connecting notes which address is tried. A state that needs an operator stays until something is better.
func (t *tracker) connecting(addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.Address = addr
	t.useful = false
	if t.st.State == StateWaiting {
		t.set(StateConnecting)
	}
}

// welcomed notes that a primary accepted a connection from the transaction own.
func (t *tracker) welcomed(w *protocol.Welcome, own zodb.Tid) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connected, t.zrs2, t.useful = true, false, false
	t.st.Protocol = protocol.Native
	t.own, t.goal, t.received = own, w.LastTid, own
	t.st.PrimaryName, t.st.PrimarySize, t.st.Heard, t.st.Final = clean(w.Name), w.Size, t.now(), nil
	t.st.UpstreamPath, t.st.Seed = nil, nil
	if w.Node != "" && (w.IsPrimary || len(w.UpstreamPath) > 0) && len(w.UpstreamPath) < protocol.MaxUpstreamPath {
		t.st.UpstreamPath = append([]string{w.Node}, w.UpstreamPath...)
	}
	t.st.IsPrimary = w.IsPrimary
	t.accepted()
	t.set(StateCatchingUp)
	t.arrive()
}

// heartbeat takes what the primary says of itself. A secondary that has not even reached what the heartbeat before
// said is not live any more.
func (t *tracker) heartbeat(h *protocol.Heartbeat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.own < t.goal && t.st.Seed == nil {
		t.set(StateCatchingUp)
	}
	t.goal, t.clock = h.LastTid, h.Clock
	t.st.PrimarySize, t.st.Heard = h.Size, t.now()
	t.st.Roster, t.st.Sync = h.Roster[:min(len(h.Roster), protocol.MaxRoster)], h.Sync
	if t.own >= t.goal {
		t.complete, t.useful = h.Clock, true
	}
	t.arrive()
}

// arrive makes a secondary live that has what the primary last told to have.
func (t *tracker) arrive() {
	if t.own >= t.goal && (t.streamEnded || !t.zrs2) && t.st.Seed == nil {
		t.set(StateLive)
		t.st.LastError, t.st.LastErrorTime = "", time.Time{}
	}
}

// seeding notes that the primary's data file is taken as it is, from one position to another.
func (t *tracker) seeding(from, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.Seed, t.seedFrom = &Seed{Total: end - from, Begun: t.now()}, from
	t.set(StateSeeding)
}

// seedsFrom notes whether nodes that are not the primary are asked for their data file.
func (t *tracker) seedsFrom(yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.SeedFrom = yes
}

// seeded notes that the data file here is durable up to a position.
func (t *tracker) seeded(pos int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.st.Seed == nil {
		return
	}
	if done := pos - t.seedFrom; done > t.st.Seed.Done {
		t.st.Seed.Done, t.useful = done, true
	}
}

// began notes a transaction that begins to arrive.
func (t *tracker) began(tid zodb.Tid) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.received = tid
}

// durable notes that n more transactions are durable, tid the last of them.
func (t *tracker) durable(tid zodb.Tid, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own, t.useful = tid, true
	t.st.Transactions += n
	t.arrive()
}

// read notes n bytes from a replication stream.
func (t *tracker) read(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.Bytes += int64(n)
}

// final notes the last error where no address gives hope; nil: one does.
func (t *tracker) final(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.Final = err
}

// failed notes why a connection ended, or did not come about, and the error that is to be shown for it.
func (t *tracker) failed(s State, shown, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connected, t.st.Seed = false, nil
	t.set(s)
	t.st.LastError, t.st.LastErrorTime = statusText(shown), t.now()
	var refusal *protocol.Refusal
	if errors.As(err, &refusal) {
		t.st.Refusals[refusal.Code]++
	}
	var digest *protocol.DigestError
	var part *protocol.RangeError
	if errors.As(err, &digest) || errors.As(err, &part) {
		t.st.DigestErrors++
	}
}

// progressed reports whether the last connection was of use.
func (t *tracker) progressed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.useful
}

// snapshot returns the status of a secondary whose last transaction is own.
func (t *tracker) snapshot(own zodb.Tid) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := t.st
	st.Refusals = maps.Clone(t.st.Refusals)
	if t.st.Seed != nil {
		seed := *t.st.Seed
		st.Seed = &seed
	}
	st.Connected = t.connected
	st.PrimaryLast = max(t.goal, t.received)
	st.Lag = t.lag(own, st.PrimaryLast)
	return st
}

func (t *tracker) lag(own, last zodb.Tid) Lag {
	if t.zrs2 {
		return t.zrs2Lag(own, last)
	}
	seed := t.st.Seed // with one, the last transaction here says little where tids go down
	if t.connected && own >= last && seed == nil {
		return Lag{Transactions: new(int64), Bytes: new(int64), Seconds: new(float64)}
	}
	since := t.complete
	if own != 0 && own.Time().After(since) {
		since = own.Time()
	}
	var lag Lag
	if seed != nil {
		missing := max(t.st.PrimarySize-t.seedFrom-seed.Done, 0)
		lag.Bytes = &missing
	}
	if t.clock.IsZero() || since.IsZero() {
		return lag
	}
	clock := t.clock.Add(t.now().Sub(t.st.Heard))
	seconds := max(clock.Sub(since).Seconds(), 0)
	lag.Seconds = &seconds
	return lag
}

// A primary that speaks zrs2 sends transactions and nothing else: not where its end is, not its clock, not that it
// lives. So what is known of it comes from what has arrived, and from nothing arriving for a while.

// joined notes that a primary of protocol zrs2 streams to us from after the transaction own.
func (t *tracker) joined(proto string, own zodb.Tid) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connected, t.zrs2, t.streamEnded = true, true, false
	t.own, t.goal, t.received = own, own, own
	t.st.PrimaryName, t.st.PrimarySize, t.st.Protocol, t.st.Heard = "", 0, proto, t.now()
	t.accepted()
	t.set(StateCatchingUp)
}

// streamQuiet notes that the stream has brought nothing for a while. If all that it brought is durable, that was all.
func (t *tracker) streamQuiet() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.connected || !t.zrs2 || t.own == 0 || t.received > t.own {
		return
	}
	t.streamEnded, t.useful = true, true
	t.complete = t.now()
	t.arrive()
}

// zrs2Lag is by our own clock.
func (t *tracker) zrs2Lag(own, last zodb.Tid) Lag {
	if t.connected && t.streamEnded && own >= last {
		return Lag{Seconds: new(float64)}
	}
	since := t.complete
	if own != 0 && own.Time().After(since) {
		since = own.Time()
	}
	if since.IsZero() {
		return Lag{}
	}
	seconds := max(t.now().Sub(since).Seconds(), 0)
	return Lag{Seconds: &seconds}
}

// hasJoined reports whether the present connection brings transactions.
func (t *tracker) hasJoined() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.connected
}
