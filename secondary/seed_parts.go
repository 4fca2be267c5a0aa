package secondary

import (
	"sync"
	"time"

	"github.com/zrsd/zrsd/protocol"
)

// A partQueue is what is missing of a data file, in parts. Several streams ask for parts at a time and put in what has
// come, in any order; the storage takes them in the order of the file. Of what was dealt and not taken there is never
// more than ahead: all of that may come to be in memory, where the disk is slow. It grows while the storage has to
// wait, as for a long line, and shrinks by what is there already when the storage comes for it. Its methods may be
// called concurrently.
type partQueue struct {
	copy *SeedCopy // nil: none
	now  func() time.Time
	most int64         // bound of ahead
	fits time.Duration // how often ahead is fitted

	mu    sync.Mutex
	moved *sync.Cond
	ahead int64
	since time.Time // ahead was fitted
	waits bool      // since then: the storage has had to wait
	least int       // since then: parts that were ready when the storage came
	end   int64
	next  int64            // of the next part to be dealt
	taken int64            // what is before it was given to the storage
	ready map[int64][]byte // verified parts that were not taken, by where they begin
	free  [][]byte
	err   error // why there are no more; set once
}

// Bounds of what is asked for ahead of the storage.
const (
	minAhead   = 6 * seedPart
	firstAhead = 48 << 20 // on a long line
	maxAhead   = 96 << 20
	// spareParts are those that may be ready when the storage comes for one.
	spareParts = 2
	// fitEvery is how often ahead is fitted on a short line.
	fitEvery = 100 * time.Millisecond
)

func newPartQueue(from, end int64, roundTrip time.Duration, begin *SeedCopy, now func() time.Time) *partQueue {
	most := min(minAhead+int64(1.5*laneRate*roundTrip.Seconds()), maxAhead)
	q := &partQueue{
		copy: begin, now: now, most: most, fits: max(roundTrip, fitEvery), ahead: min(most, firstAhead),
		since: now(), end: end, next: from, taken: from, ready: make(map[int64][]byte),
	}
	q.moved = sync.NewCond(&q.mu)
	return q
}

// fit fits ahead to how fast the storage is and how long the line, when it has been as it is for a round trip. So many
// parts are ready.
func (q *partQueue) fit(ready int) {
	q.least = min(q.least, ready)
	now := q.now()
	if now.Sub(q.since) < q.fits {
		return
	}
	switch {
	case q.waits:
		q.ahead = min(q.ahead*3/2, q.most)
	case q.least > spareParts:
		q.ahead = max(q.ahead-int64(q.least-spareParts)*seedPart, minAhead)
	}
	q.since, q.waits, q.least = now, false, len(q.ready)
}

// settle says where the file ends, which may be later than was known at first.
func (q *partQueue) settle(end int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end = end
}

// deal returns the next part to ask for. Nil: there is none, or, where it must not wait, none now.
func (q *partQueue) deal(wait bool) *protocol.RangeRequest {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.err == nil && q.next < q.end {
		r := &protocol.RangeRequest{From: q.next, Length: min(seedPart, q.end-q.next)}
		if r.From+r.Length <= q.taken+q.ahead {
			if q.copy.has(r.From) {
				r.Bare, r.Length = true, min(r.Length, q.copy.Size-r.From)
			}
			q.next += r.Length
			return r
		}
		if !wait {
			break
		}
		q.moved.Wait()
	}
	return nil
}

// room returns a buffer for a part, which may be too small.
func (q *partQueue) room() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.free) == 0 {
		return nil
	}
	last := len(q.free) - 1
	buf := q.free[last]
	q.free = q.free[:last]
	return buf
}

// put puts in a part that begins at an offset.
func (q *partQueue) put(from int64, data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready[from] = data
	q.moved.Broadcast()
}

// take waits for the next part in the order of the file. Nil: all have been taken, or the queue has failed.
func (q *partQueue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.taken < q.end {
		if data, is := q.ready[q.taken]; is {
			q.fit(len(q.ready))
			delete(q.ready, q.taken)
			q.taken += int64(len(data))
			q.moved.Broadcast()
			return data
		}
		if q.err != nil {
			break
		}
		q.waits = true
		q.moved.Wait()
	}
	return nil
}

// giveBack takes a buffer back that take has returned. Few are kept: as many as are ready there are only now and then.
func (q *partQueue) giveBack(buf []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.free) < spareParts {
		q.free = append(q.free, buf)
	}
}

// fail ends it. What is ready can still be taken, up to the first part that is missing.
func (q *partQueue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.moved.Broadcast()
}

// failed returns why it has ended before all was there.
func (q *partQueue) failed() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}
