package secondary

import (
	"io"
	"sync"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A meteredReader is the replication stream as apply reads it. It counts the bytes, remembers whether reading failed,
// and notices when the stream has stalled: heartbeats tell of transactions that have not arrived, apply waits for them,
// and nothing comes. So ends a connection that lost a part of the stream without losing itself.
type meteredReader struct {
	r     io.Reader
	track *tracker
	now   func() time.Time
	limit time.Duration // of a stall

	failed bool // for the reader only
	begun  bool // something has arrived; for the reader only

	mu          sync.Mutex
	waiting     int       // how many are in Read: apply, or the lanes of a seed
	asked       time.Time // when Read began
	lastArrived zodb.Tid  // last transaction that arrived and was handed to the storage
	since       time.Time // of the first heartbeat that told of more while waiting; zero: none since the last byte
}

func (w *meteredReader) Read(b []byte) (int, error) {
	w.wait(1)
	n, err := w.r.Read(b)
	w.wait(-1)
	w.track.read(n)
	w.failed, w.begun = err != nil, w.begun || n > 0
	return n, err
}

func (w *meteredReader) wait(more int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting += more
	w.since, w.asked = time.Time{}, w.now()
}

// waitedFor reports whether apply has been waiting for d.
func (w *meteredReader) waitedFor(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting > 0 && w.now().Sub(w.asked) >= d
}

// arrived notes a transaction that is complete.
func (w *meteredReader) arrived(tid zodb.Tid) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastArrived = tid
}

// check gets, from each heartbeat, the last transaction of the primary.
func (w *meteredReader) check(last zodb.Tid) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch now := w.now(); {
	case w.waiting == 0 || last <= w.lastArrived:
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = now
	case now.Sub(w.since) >= w.limit:
		return errStalled
	}
	return nil
}
