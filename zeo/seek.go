package zeo

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zodb"
)

// A seeker knows where clients can write, for a storage that is only read here. It asks as long as somebody has to
// know: a client that waits to write, one that was let in although nobody leads, one that reads here as a fallback. It
// may be used concurrently.
//
// ZEO's client keeps trying an address until it is let in, and tries the others again only when no attempt is left. A
// server that refuses it is not asked again while the address of a dead primary refuses connections, or is silent. So
// a writer is refused only when a question that began after it has come says that another node leads.
type seeker struct {
	ask   func(ctx context.Context) Leader // who leads elsewhere now
	found func()                           // another node leads now, or one leads again

	mu       sync.Mutex
	wanted   int           // how many have to know
	begun    uint64        // questions
	answered uint64        // the last of those that counts
	leader   string        // as of that
	last     zodb.Tid      // the leader's last transaction, as of that
	began    time.Time     // since when it has sent no writer away
	vacant   time.Time     // since when nobody leads; zero: somebody does, or nobody knows
	changes  uint64        // how often another leader was found, or one after there was none
	changed  time.Time     // when that was last
	moved    chan struct{} // closed, and replaced, when any of these changes
	woken    chan struct{} // one slot: a question is wanted at once
}

func newSeeker(ask func(context.Context) Leader, found func()) *seeker {
	return &seeker{ask: ask, found: found, moved: make(chan struct{}), woken: make(chan struct{}, 1)}
}

// A view is what a seeker knows at a moment.
type view struct {
	answered uint64
	leader   string
	last     zodb.Tid
	vacant   time.Time
	changes  uint64
	moved    <-chan struct{}
}

// Times of a seeker.
const (
	askEvery = 300 * time.Millisecond // a question begins, whether or not the one before is answered
	askGap   = 20 * time.Millisecond  // at least between two of them
	// cameSlack is how much later than at the leader a client may have come here that connected at the same time.
	cameSlack = 100 * time.Millisecond
	askAtOnce = 8               // questions under way: addresses that are silent hold them up
	unsettled = 3 * time.Second // after a change, and when a node has begun to lead, clients may miss it
)

// enter registers a client that needs the answer, until leave, and returns the number of the first question that begins
// from now on.
func (k *seeker) enter() (first uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted++
	select {
	case k.woken <- struct{}{}:
	default: // it is about to look
	}
	return k.begun + 1
}

func (k *seeker) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted--
}

func (k *seeker) view() view {
	k.mu.Lock()
	defer k.mu.Unlock()
	return view{k.answered, k.leader, k.last, k.vacant, k.changes, k.moved}
}

// restless reports whether the leader is being looked for, was found only now, or began to lead only now: a client that
// came to its address a moment before was refused there.
func (k *seeker) restless() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.vacant.IsZero() || k.changes > 0 && time.Since(k.changed) < unsettled ||
		k.leader != "" && time.Since(k.began) < unsettled
}

// missedBy reports whether a client that came at a time may have been sent away at the leader's address: ZEO's client
// comes to all addresses at the same time. Where nothing listened there yet, it tries again by itself.
func (k *seeker) missedBy(came time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.leader != "" && k.began.After(came.Add(-cameSlack))
}

// poke wakes all that wait for a change.
func (k *seeker) poke() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notify()
}

func (k *seeker) notify() {
	close(k.moved)
	k.moved = make(chan struct{})
}

// forget is for a node that takes writers itself now.
func (k *seeker) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answered, k.leader, k.vacant = k.begun, "", time.Time{} // and answers under way do not count
	k.notify()
}

// run asks, for as long as a client needs the answer, until ctx ends.
func (k *seeker) run(ctx context.Context) {
	var questions sync.WaitGroup
	defer questions.Wait()
	slots := make(chan struct{}, askAtOnce)
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-k.woken:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		number, wanted := k.begin()
		if !wanted {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		questions.Go(func() {
			defer func() { <-slots }()
			k.answer(number, k.ask(ctx))
		})
		pause.For(ctx, askGap)
	}
}

func (k *seeker) begin() (number uint64, wanted bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wanted > 0 {
		k.begun++
	}
	return k.begun, k.wanted > 0
}

// answer takes the answer of a question, unless that of a later one is there already.
func (k *seeker) answer(number uint64, leader Leader) {
	if k.take(number, leader) {
		k.found()
	}
}

// take reports whether there is a leader that clients may not know of.
func (k *seeker) take(number uint64, leader Leader) (news bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if number <= k.answered {
		return false
	}
	defer k.notify()
	k.answered = number
	if leader.Name == "" {
		if k.vacant.IsZero() {
			k.vacant = time.Now()
		}
		k.leader = ""
		return false
	}
	news = !k.vacant.IsZero() || k.leader != "" && k.leader != leader.Name
	if news {
		k.changes++
		k.changed = time.Now()
	}
	k.leader, k.last, k.began, k.vacant = leader.Name, leader.Last, time.Now().Add(-leader.For), time.Time{}
	return news
}
