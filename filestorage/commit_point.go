package filestorage

import (
	"context"
	"sync"

	"github.com/zrsd/zrsd/zodb"
)

// A commitPoint is how far a file is committed: everything in [4, end) is for all readers, everything after it only for
// the writer. A committer advances it, after the bytes are durable; followers wait for it.
type commitPoint struct {
	mu      sync.Mutex
	end     int64
	last    zodb.Tid
	moved   chan struct{} // closed and replaced when end moves
	closing error         // set once, wakes everybody
	over    chan struct{} // closed when closing is set
}

func newCommitPoint(end int64, last zodb.Tid) *commitPoint {
	return &commitPoint{end: end, last: last, moved: make(chan struct{}), over: make(chan struct{})}
}

// get returns the end of the committed part and the tid of its last transaction, 0 when there is none.
func (f *commitPoint) get() (end int64, last zodb.Tid) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end, f.last
}

// advance publishes a new end and wakes all who wait.
func (f *commitPoint) advance(end int64, last zodb.Tid) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end, f.last = end, last
	f.wake()
}

// close makes every present and future wait return err.
func (f *commitPoint) close(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing == nil {
		f.closing = err
		close(f.over)
		f.wake()
	}
}

// closed returns what close was called with, nil before.
func (f *commitPoint) closed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closing
}

func (f *commitPoint) wake() {
	close(f.moved)
	f.moved = make(chan struct{})
}

// wait blocks until the end differs from seen, ctx ends (its cause is returned) or the commit point is closed.
func (f *commitPoint) wait(ctx context.Context, seen int64) error {
	for {
		f.mu.Lock()
		end, moved, closing := f.end, f.moved, f.closing
		f.mu.Unlock()
		switch {
		case end != seen:
			return nil
		case closing != nil:
			return closing
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
