package secondary

import (
	"context"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
)

// A partQueue is what is missing of a data file, in parts. Several streams ask for parts at a time and put in what has
// come, in any order; the storage takes them in the order of the file. Parts that another node is asked for are lent:
// the storage never waits for one while nobody else has anything to do. Of what was dealt and not taken there is never
// more than ahead: all of that may come to be in memory, where the disk is slow. It grows while the storage has to
// wait, as for a long line, and shrinks by what is there already when the storage comes for it. Its methods may be
// called concurrently.
type partQueue struct {
	copy     *SeedCopy // nil: none
	now      func() time.Time
	most     int64         // bound of ahead
	low      int64         // likewise, from below
	fits     time.Duration // how often ahead is fitted
	patience time.Duration // see maxReady

	mu    sync.Mutex
	moved *sync.Cond
	ahead int64
	since time.Time // ahead was fitted
	waits bool      // since then: the storage has had to wait
	least int       // since then: parts that were ready when the storage came
	end   int64
	next  int64            // of the next part to be dealt
	taken int64            // what is before it was given to the storage
	moves time.Time        // the storage has taken something last
	asks  bool             // the storage waits for something else that comes over the same connection
	ready map[int64][]byte // verified parts that were not taken, by where they begin
	free  [][]byte

	lent    map[int64]int64          // the lengths of parts that other nodes are asked for, by where they begin
	refused []*protocol.RangeRequest // parts that those have not given
	starved bool                     // the storage waits for the next part
	err     error                    // why there are no more; set once
}

// Bounds of what is asked for ahead of the storage.
const (
	minAhead   = 6 * seedPart
	firstAhead = 48 << 20 // on a long line
	maxAhead   = 96 << 20
	// maxReady is how many parts may be ready before no more are read, if the storage has something to do; more than
	// come at a time, on all streams. For so long nothing else of the connection is read either, so only for a while.
	maxReady      = 24
	readyPatience = 2 * time.Second
	// spareParts are those that may be ready when the storage comes for one.
	spareParts = 2
	// fitEvery is how often ahead is fitted on a short line.
	fitEvery = 100 * time.Millisecond
)

func newPartQueue(from, end int64, roundTrip time.Duration, begin *SeedCopy, now func() time.Time) *partQueue {
	most := min(minAhead+int64(1.5*laneRate*roundTrip.Seconds()), maxAhead)
	q := &partQueue{
		copy: begin, now: now, most: most, low: minAhead, fits: max(roundTrip, fitEvery), ahead: min(most, firstAhead),
		patience: readyPatience, since: now(), moves: now(), end: end, next: from, taken: from,
		ready: make(map[int64][]byte), lent: make(map[int64]int64),
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
		q.ahead = max(q.ahead-int64(q.least-spareParts)*seedPart, q.low)
	}
	q.since, q.waits, q.least = now, false, len(q.ready)
}

// settle says where the file ends, which may be later than was known at first.
func (q *partQueue) settle(end int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end = end
}

// widen makes room for parts that other nodes are asked for.
func (q *partQueue) widen(bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.low, q.ahead, q.most = min(q.low+bytes, maxAhead), min(q.ahead+bytes, maxAhead), min(q.most+bytes, maxAhead)
}

// deal returns the next part to ask for. Nil: there is none, or, where it must not wait, none now. Who may wait has
// nothing else to do, and is given what is lent if the storage waits for that.
func (q *partQueue) deal(wait bool) *protocol.RangeRequest {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.err == nil && (q.next < q.end || len(q.lent) > 0 || len(q.refused) > 0) {
		if n := len(q.refused); n > 0 {
			r := q.refused[n-1]
			q.refused = q.refused[:n-1]
			return r
		}
		if r := q.following(q.end); r != nil {
			if q.copy.has(r.From) {
				r.Bare, r.Length = true, min(r.Length, q.copy.Size-r.From)
			}
			q.next += r.Length
			return r
		}
		if !wait {
			break
		}
		if length, is := q.lent[q.taken]; is && q.starved {
			delete(q.lent, q.taken)
			return &protocol.RangeRequest{From: q.taken, Length: length}
		}
		q.moved.Wait()
	}
	return nil
}

// following returns what is to be asked for next, of what is before an end. Nil: nothing now.
func (q *partQueue) following(end int64) *protocol.RangeRequest {
	r := &protocol.RangeRequest{From: q.next, Length: min(seedPart, q.end-q.next)}
	if r.Length <= 0 || r.From+r.Length > min(end, q.taken+q.ahead) {
		return nil
	}
	return r
}

// lend is deal for a node that has the file up to an end. What is in the copy is not asked of it.
func (q *partQueue) lend(wait bool, end int64) *protocol.RangeRequest {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.err == nil && q.next < min(q.end, end) {
		if r := q.following(end); r != nil && !q.copy.has(r.From) {
			q.next += r.Length
			q.lent[r.From] = r.Length
			return r
		}
		if !wait || q.next+min(seedPart, q.end-q.next) > end {
			break
		}
		q.moved.Wait()
	}
	return nil
}

// refuse says that a part that was lent is not to be had there.
func (q *partQueue) refuse(r *protocol.RangeRequest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, is := q.lent[r.From]; is { // nobody else was asked for it meanwhile
		delete(q.lent, r.From)
		q.refused = append(q.refused, r)
		q.moved.Broadcast()
	}
}

// room returns a buffer for a part, which may be too small. It waits while enough is ready: what is not read stays with
// the kernel, and with the primary.
func (q *partQueue) room() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.enough() {
		late := time.AfterFunc(q.patience, q.moved.Broadcast)
		q.moved.Wait()
		late.Stop()
	}
	if len(q.free) == 0 {
		return nil
	}
	last := len(q.free) - 1
	buf := q.free[last]
	q.free = q.free[:last]
	return buf
}

// meanwhile calls f, in which the storage waits for something else that comes over the same connection: what is not
// read would hold that up.
func (q *partQueue) meanwhile(f func()) {
	set := func(asks bool) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.asks = asks
		q.moved.Broadcast()
	}
	set(true)
	defer set(false)
	f()
}

// enough reports whether the storage is what everything waits for.
func (q *partQueue) enough() bool {
	_, next := q.ready[q.taken]
	return next && !q.asks && q.err == nil && len(q.ready) >= maxReady && q.now().Sub(q.moves) < q.patience
}

// put puts in a part that begins at an offset. One that somebody else was asked for as well may be there already.
func (q *partQueue) put(from int64, data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.lent, from)
	if _, there := q.ready[from]; there || from < q.taken {
		q.free = append(q.free, data)
		return
	}
	q.ready[from] = data
	q.moved.Broadcast()
}

// take waits for the next part in the order of the file. Nil: all have been taken, or the queue has failed.
func (q *partQueue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.taken < q.end {
		if data, is := q.ready[q.taken]; is {
			q.starved = false
			q.fit(len(q.ready))
			delete(q.ready, q.taken)
			q.taken += int64(len(data))
			q.moves = q.now()
			q.moved.Broadcast()
			return data
		}
		if q.err != nil {
			break
		}
		if q.waits = true; !q.starved {
			q.starved = true
			q.moved.Broadcast()
		}
		q.moved.Wait()
	}
	return nil
}

// appendTo gives the parts to a storage, which reads each until it has the next one.
func (q *partQueue) appendTo(ctx context.Context, a *filestorage.Appender) error {
	var before []byte
	for part := q.take(); part != nil; part = q.take() {
		if err := a.Write(ctx, part); err != nil {
			q.fail(err)
			return err
		}
		if before != nil {
			q.giveBack(before)
		}
		before = part
	}
	return nil
}

// giveBack takes a buffer back that take has returned. All are kept, of which there are never more than may be ready:
// to make them anew would need twice as much memory, until the next collection.
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

// failed returns why it has ended before all was there. What becomes of streams that are not needed any more is no
// failure.
func (q *partQueue) failed() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.taken >= q.end {
		return nil
	}
	return q.err
}
