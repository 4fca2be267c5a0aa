package zeo

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/internal/recovered"
)

// Where a client commits and nobody else does, the goroutine that reads from it waits for the disk itself, which saves
// handing over to others and back: see client.atDisk. While it waits nobody reads from the client, whose other threads
// load through the same connection. That is nothing where the disk takes half a millisecond. Where it takes longer, for
// whatever reason, another goroutine takes over the reading, and the first one ends when it has dealt with its commit.

// A diskWait is a goroutine that waits for the disk and is the one that reads from a client.
type diskWait struct {
	c     *client
	state atomic.Int32
}

// The states of a diskWait.
const (
	waitsForDisk = iota
	isBack       // it continues reading
	isRelieved   // another one reads
)

// relief looks after those that wait for the disk.
type relief struct {
	mu      sync.Mutex
	waits   map[*diskWait]bool // whether it was seen by the last look
	begun   int                // waits since the last look
	looking bool
	wake    chan struct{} // one slot
}

// reliefEvery is the time between two checks: a client seen by two of them is relieved.
const reliefEvery = 10 * time.Millisecond

// restAfter is after how many looks at nothing new there are no more, until somebody waits again.
const restAfter = 5

func newRelief() relief {
	return relief{waits: make(map[*diskWait]bool), wake: make(chan struct{}, 1)}
}

func (r *relief) begin(w *diskWait) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waits[w] = false
	r.begun++
	if !r.looking {
		r.looking = true
		r.wake <- struct{}{}
	}
}

func (r *relief) end(w *diskWait) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waits, w)
}

// run looks, as long as there is something to look at, until ctx ends.
func (r *relief) run(ctx context.Context) {
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return
		}
		tick := time.NewTicker(reliefEvery)
		for quiet := 0; quiet < restAfter && ctx.Err() == nil; quiet++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
			if r.look() {
				quiet = -1
			}
			r.mu.Lock()
			r.looking = quiet+1 < restAfter
			r.mu.Unlock()
		}
		tick.Stop()
	}
}

// look relieves who was there at the last look, and reports whether there was anybody since.
func (r *relief) look() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	some := r.begun > 0 || len(r.waits) > 0
	r.begun = 0
	for w, seen := range r.waits {
		if !seen {
			r.waits[w] = true
			continue
		}
		delete(r.waits, w)
		if w.state.CompareAndSwap(waitsForDisk, isRelieved) {
			w.c.relieve()
		}
	}
	return some
}

// errRelieved ends a goroutine that another one has relieved of reading from the client.
var errRelieved = errors.New("another goroutine reads from the client")

// relieve lets another goroutine read from the client.
func (c *client) relieve() {
	c.helpers.Go(func() {
		if err := recovered.Do(c.logger(), "handling a message of a client", c.handle); !errors.Is(err, errRelieved) {
			c.over <- err
		}
	})
}

// atDisk calls f, which waits for the disk, in the goroutine that reads from the client. When it returns errRelieved,
// the caller does not touch the client any more, but for what is anybody's, and returns that as well.
func (c *client) atDisk(f func()) error {
	w := &diskWait{c: c}
	r := &c.storage.relief
	r.begin(w)
	f()
	r.end(w)
	if !w.state.CompareAndSwap(waitsForDisk, isBack) {
		return errRelieved
	}
	return nil
}
