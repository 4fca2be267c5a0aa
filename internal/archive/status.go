package archive

import (
	"sync"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// The states of a Writer.
const (
	StateConnecting = "connecting" // it looks at the archive
	StateComparing  = "comparing"  // it compares the data file with the archive
	StateArchiving  = "archiving"  // it writes, or has written everything
	StateStandby    = "standby"    // another node writes
	StateBehind     = "behind"     // the archive has more than this node
	StateRefused    = "refused"    // it must not write: an operator must act
	StateAway       = "away"       // the archive cannot be reached, or takes nothing
)

// A Status is how far a Writer is.
type Status struct {
	Place      string     `json:"place"` // where the archive is
	State      string     `json:"state"`
	Generation uint64     `json:"generation,omitempty"`
	Complete   bool       `json:"complete"`           // moments of now can be restored from the generation
	Last       *zodb.Tid  `json:"last_tid,omitempty"` // the last transaction in the archive
	History    History    `json:"-"`                  // after it; count 0: it is not known
	Archived   *time.Time `json:"archived,omitempty"` // when all that this node had then was in the archive
	LagBytes   int64      `json:"lag_bytes"`          // of the data file, not in the archive yet
	LagSeconds float64    `json:"lag_seconds"`        // for how long something has not been in the archive
	Segments   uint64     `json:"segments"`           // written by this process
	Bytes      int64      `json:"bytes"`              // stored by them
	Blobs      uint64     `json:"blobs"`              // likewise
	BlobBytes  int64      `json:"blob_bytes"`
	Missing    uint64     `json:"blobs_missing"` // that this node did not have
	Failures   uint64     `json:"failures"`      // attempts that failed
	LastError  *string    `json:"last_error,omitempty"`

	Made     *time.Time    `json:"made,omitempty"`     // when the archive was made; nil: it was not looked at yet
	Verified *Verification `json:"verified,omitempty"` // the last verification
	Proved   *time.Time    `json:"proved,omitempty"`   // when the last one began that found nothing wrong
}

// A tracker is what a Writer shows. It may be used concurrently.
type tracker struct {
	mu    sync.Mutex
	st    Status
	since time.Time // for how long something waits to be archived; zero: nothing does
	whole int64     // with which the generation is complete
}

// Status returns how far the writer is.
func (t *tracker) Status(now time.Time) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := t.st
	if !t.since.IsZero() {
		st.LagSeconds = max(now.Sub(t.since).Seconds(), 0)
	}
	return st
}

// saw notes how much of the file is not archived yet.
func (t *tracker) saw(_ int64, last zodb.Tid, left int64, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.LagBytes = max(left, 0)
	switch {
	case left <= 0 || last == 0:
		t.since = time.Time{}
		t.st.Archived = &now
	case t.since.IsZero():
		t.since = now
	}
}

// due reports whether something has waited for so long.
func (t *tracker) due(now time.Time, interval time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.since.IsZero() && now.Sub(t.since) >= interval
}

// began notes the generation that is written. head is the last segment of its path; nil: there is none.
func (t *tracker) began(p *Path, at Place, head *Header) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.Generation, t.whole = p.Generation, p.Whole
	t.st.Complete = at.End > 0 && at.End >= p.Whole
	t.reached(at.Last)
	t.st.History = History{}
	if head != nil && head.Last == at.Last {
		t.st.History = head.History
	}
}

// verified notes which verifications the archive has.
func (t *tracker) verified(made time.Time, last, proof *Verification) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.Made, t.st.Verified, t.st.Proved = &made, last, nil
	if proof != nil {
		t.st.Proved = &proof.Begun
	}
}

func (t *tracker) reached(last zodb.Tid) {
	if last != 0 {
		t.st.Last = &last
	}
}

// proving notes how far the comparison is.
func (t *tracker) proving(int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.State = StateComparing
}

// wrote notes a segment.
func (t *tracker) wrote(h *Header, stored int64, list []BlobEntry, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.Segments++
	t.st.Bytes += stored
	t.st.Complete = t.st.Complete || h.End >= t.whole
	t.reached(h.Last)
	t.st.History = h.History
	t.since = time.Time{}
	if t.st.LagBytes -= h.To - h.From; t.st.LagBytes > 0 {
		t.since = now
	}
	for i := range list {
		if list[i].Size == NoBlob {
			t.st.Missing++
		}
	}
}

// storedBlob notes a blob.
func (t *tracker) storedBlob(size int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.st.Blobs++
		t.st.BlobBytes += size
	}
}

// is notes the state, and an error.
func (t *tracker) is(state string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.State, t.st.LastError = state, nil
	if err != nil {
		text := err.Error()
		t.st.LastError = &text
		if state == StateAway {
			t.st.Failures++
		}
	}
}
