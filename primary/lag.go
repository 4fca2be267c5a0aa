package primary

import (
	"sync"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// Lag is how far a secondary is behind, counted from what it has acknowledged as durable.
type Lag struct {
	Transactions int64   `json:"transactions"`
	Bytes        int64   `json:"bytes"`   // of the primary's file
	Seconds      float64 `json:"seconds"` // since the first commit that the secondary lacks; 0 when it lacks none
	Exact        bool    `json:"exact"`   // false: at least that much
}

// maxFlights bounds what a progress remembers of transactions that are sent and not yet acknowledged.
const maxFlights = 4096

// counted is what a secondary counts for whose last transaction is this one: nothing where the tid is above that of our
// last transaction. Old files may have such tids in their midst, of clocks that were ahead, and who has come as far as
// there may lack all that was committed since.
func (p *Primary) counted(tid zodb.Tid) zodb.Tid {
	if tid > p.src.LastTid() {
		return 0
	}
	return tid
}

// An inFlight is a transaction that was sent and not yet acknowledged.
type inFlight struct {
	tid    zodb.Tid
	number int64 // 1 for the first transaction of the connection
	pos    int64 // where it begins in the primary's file
	gap    bool  // the one before it was forgotten
}

// A progress knows what a secondary has, what was sent to it and what is still to come. Its methods may be called
// concurrently.
//
//	 start        durable              sent            counted        last
//	---+-------------+------------------+-----------------+-------------+--▶ file
//	   number 0      |◀──── flights ───▶|                 |
//	                 ^ first flight: the first one lacking
//
// All figures of a lag follow from the first flight, which stands for the first transaction that the secondary lacks:
// how old it is, where it begins, and its number against the number of the last.
type progress struct {
	mu      sync.Mutex
	begun   bool
	applied zodb.Tid
	durable zodb.Tid
	moved   chan struct{} // closed and replaced when durable rises
	since   time.Time     // of the last rise of durable, or since when there has been something to rise to

	sent     zodb.Tid // last transaction handed to the encoder
	highest  zodb.Tid // of all that were: the tids of old files go down here and there
	down     bool     // they did so on this connection: then transactions are told apart by their tids only
	before   zodb.Tid // the one before it
	number   int64    // its number
	pos      int64    // its end
	caughtUp bool     // the end of the file was reached
	flights  []inFlight

	counted zodb.Tid // last transaction whose number is known
	total   int64    // that number
}

func newProgress() *progress { return &progress{moved: make(chan struct{})} }

// begin sets the point from which the secondary follows, and its offset in the file.
func (g *progress) begin(start zodb.Tid, pos int64, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begun, g.applied, g.durable, g.sent, g.counted, g.highest = true, start, start, start, start, start
	g.pos, g.since = pos, now
}

// sending notes a transaction that ends at pos, before any of it leaves.
func (g *progress) sending(tid zodb.Tid, pos int64, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.flights) == 0 {
		g.since = now
	}
	packed := pos <= g.pos // the offsets of before mean nothing any more
	if packed {
		g.flights = g.flights[:0]
	}
	if len(g.flights) == maxFlights {
		g.dropSamples()
	}
	begin := g.pos
	if packed {
		begin = pos
	}
	g.number++
	g.flights = append(g.flights, inFlight{tid: tid, number: g.number, pos: begin, gap: packed})
	g.down = g.down || tid <= g.sent
	g.before, g.sent, g.pos, g.highest = g.sent, tid, pos, max(g.highest, tid)
	if g.number > g.total {
		g.total, g.counted = g.number, tid
	}
}

// resetSent takes back the last transaction noted by sending: it could not be sent whole, and nothing comes after it.
func (g *progress) resetSent() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.flights); g.down && n > 0 && g.flights[n-1].tid == g.sent {
		g.flights = g.flights[:n-1]
	}
	g.sent = g.before
}

// dropSamples forgets every second flight, but not the first.
func (g *progress) dropSamples() {
	kept := g.flights[:0]
	for i, f := range g.flights {
		if i%2 == 0 {
			f.gap = f.gap || i > 0
			kept = append(kept, f)
		}
	}
	g.flights = kept
}

// atEnd notes that all there is has been sent. It is the moment when the count is certain.
func (g *progress) atEnd() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.caughtUp = true
	g.total, g.counted = g.number, g.sent
}

// ack takes what the secondary says to have. It reports false when that was never sent to it.
func (g *progress) ack(applied, durable zodb.Tid, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if applied > g.highest || durable > g.highest {
		return false
	}
	n := 0
	if g.down {
		if n = g.arrived(durable); n == 0 {
			return true
		}
		g.applied = durable
	} else {
		g.applied = max(g.applied, applied)
		if durable <= g.durable {
			return true
		}
		for n < len(g.flights) && g.flights[n].tid <= durable {
			n++
		}
	}
	g.durable, g.since = durable, now
	g.flights = append(g.flights[:0], g.flights[n:]...)
	close(g.moved)
	g.moved = make(chan struct{})
	return true
}

// arrived returns how many flights are over when the transaction with this tid is durable.
func (g *progress) arrived(durable zodb.Tid) int {
	for n := len(g.flights) - 1; n >= 0; n-- {
		if g.flights[n].tid == durable {
			return n + 1
		}
	}
	return 0
}

// uncounted returns the tid from which transactions have still to be counted, once there is one.
func (g *progress) uncounted() (after zodb.Tid, begun bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counted, g.begun
}

// count adds n transactions after after, up to upTo, unless the sender has overtaken the count.
func (g *progress) count(after zodb.Tid, n int64, upTo zodb.Tid) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n > 0 && g.counted == after {
		g.total, g.counted = g.total+n, upTo
	}
}

// allDurable reports whether all that was sent is durable, and otherwise when to ask again.
func (g *progress) allDurable() (bool, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.has(g.sent), g.moved
}

// has reports whether the secondary has all up to tid, one that was sent or the last one there is.
func (g *progress) has(tid zodb.Tid) bool {
	if g.down {
		return len(g.flights) == 0 && g.sent == tid
	}
	return g.durable >= tid
}

// lag compares with the source: the tid of its last transaction and the size of its file.
func (g *progress) lag(last zodb.Tid, size int64, now time.Time) Lag {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.begun || g.has(last) {
		return Lag{Exact: g.begun}
	}
	first := inFlight{tid: last, number: g.number + 1, pos: g.pos, gap: true} // nothing is known of what was not sent
	if len(g.flights) > 0 {
		first = g.flights[0]
	}
	return Lag{
		Transactions: max(g.total-first.number+1, 1),
		Bytes:        max(size-first.pos, 0),
		Seconds:      max(now.Sub(first.tid.Time()).Round(time.Millisecond).Seconds(), 0),
		Exact:        !first.gap && g.counted >= last,
	}
}

// state tells the states of an accepted secondary apart. troubled says that it reports an error of its own.
func (g *progress) state(lag Lag, troubled bool, stallAfter time.Duration, now time.Time) State {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case troubled, len(g.flights) > 0 && now.Sub(g.since) >= stallAfter:
		return StateStalled
	case !g.caughtUp, lag.Seconds > liveLag.Seconds():
		return StateCatchingUp
	}
	return StateLive
}

func (g *progress) tids() (applied, durable, sent zodb.Tid) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.applied, g.durable, g.sent
}
