package secondary

import (
	"github.com/zrsd/zrsd/zodb"
)

// A primary that speaks zrs2 sends transactions and nothing else: not where its end is, not its clock, not that it
// lives. So what is known of it comes from what has arrived, and from nothing arriving for a while.

// joined notes that a primary of protocol zrs2 streams to us from after the transaction own.
func (t *tracker) joined(proto string, own zodb.Tid) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connected, t.blind, t.settled = true, true, false
	t.own, t.goal, t.received = own, own, own
	t.st.PrimaryName, t.st.PrimarySize, t.st.Protocol, t.st.Heard = "", 0, proto, t.now()
	t.st.Reconnects = t.st.Connections
	t.st.Connections++
	t.set(StateCatchingUp)
}

// quiet notes that the stream has brought nothing for a while. If all that it brought is durable, that was all.
func (t *tracker) quiet() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.connected || !t.blind || t.own == 0 || t.received > t.own {
		return
	}
	t.settled, t.useful = true, true
	t.complete = t.now()
	t.arrive()
}

// blindLag is by our own clock.
func (t *tracker) blindLag(own, last zodb.Tid) Lag {
	if t.connected && t.settled && own >= last {
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
