package secondary

import (
	"sync"
	"time"

	"github.com/zrsd/zrsd/protocol"
)

// A partQueue is what is missing of a data file, in parts. Several streams ask for parts at a time and put in what has
// come, in any order; the storage takes them in the order of the file. Of what was dealt and not taken there is never
// more than ahead: all of that may come to be in memory, where the disk is slow. So it is what the storage takes in one
// and a half round trips, and no more than maxAhead. Its methods may be called concurrently.
type partQueue struct {
	roundTrip time.Duration
	copy      *SeedCopy // nil: none
	now       func() time.Time

	mu    sync.Mutex
	moved *sync.Cond
	ahead int64
	since struct { // when ahead was last fitted
		at    time.Time
		taken int64
	}
	end   int64
	next  int64            // of the next part to be dealt
	taken int64            // what is before it was given to the storage
	ready map[int64][]byte // verified parts that were not taken, by where they begin
	free  [][]byte
	err   error // why there are no more; set once
}

// Bounds of what is asked for ahead of the storage.
const (
	minAhead   = (laneAhead + 4) * seedPart
	firstAhead = 48 << 20 // on a long link, until it is known how fast the storage is
	maxAhead   = 96 << 20
)

func newPartQueue(from, end int64, roundTrip time.Duration, begin *SeedCopy, now func() time.Time) *partQueue {
	q := &partQueue{
		roundTrip: roundTrip, copy: begin, now: now, end: end, next: from, taken: from, ready: make(map[int64][]byte),
		ahead: min(aheadFor(laneRate, roundTrip), firstAhead),
	}
	q.since.at, q.since.taken = now(), from
	q.moved = sync.NewCond(&q.mu)
	return q
}

// aheadFor is what to ask for ahead of a storage that takes so many bytes per second.
func aheadFor(rate float64, roundTrip time.Duration) int64 {
	return min(minAhead+int64(1.5*rate*roundTrip.Seconds()), maxAhead)
}

// fitEvery is how often ahead is fitted at most.
const fitEvery = 100 * time.Millisecond

// fit fits ahead to how fast the storage is.
func (q *partQueue) fit() {
	now := q.now()
	past := now.Sub(q.since.at)
	if past < max(q.roundTrip, fitEvery) {
		return
	}
	q.ahead = aheadFor(float64(q.taken-q.since.taken)/past.Seconds(), q.roundTrip)
	q.since.at, q.since.taken = now, q.taken
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
		if q.next < q.taken+q.ahead {
			r := &protocol.RangeRequest{From: q.next, Length: min(seedPart, q.end-q.next)}
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
			delete(q.ready, q.taken)
			q.taken += int64(len(data))
			q.fit()
			q.moved.Broadcast()
			return data
		}
		if q.err != nil {
			break
		}
		q.moved.Wait()
	}
	return nil
}

// giveBack takes a buffer back that take has returned.
func (q *partQueue) giveBack(buf []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free = append(q.free, buf)
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
