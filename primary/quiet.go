package primary

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Bounds for what strangers can make this node log and remember.
const (
	quietFor   = time.Minute // a source's line is not repeated before that
	maxTexts   = 8           // different lines of one source in that time
	maxSources = 1024
)

// A quiet keeps peers that have not been accepted from filling the log: it lets a line of a source pass once in an
// interval. Beyond maxSources all new ones count as one. It may be used concurrently.
type quiet struct {
	now  func() time.Time
	seed maphash.Seed

	mu      sync.Mutex
	sources map[string]*complaints
}

// complaints are the lines about one source in one interval.
type complaints struct {
	since time.Time
	texts []uint64 // hashes
	kept  int
}

func newQuiet(now func() time.Time) *quiet {
	return &quiet{now: now, seed: maphash.MakeSeed(), sources: make(map[string]*complaints)}
}

// warn logs a line about a source and reports whether it did. What tells lines apart is text.
func (q *quiet) warn(log hclog.Logger, source, text, msg string, args ...any) bool {
	kept, ok := q.pass(source, text)
	if !ok {
		return false
	}
	if kept > 0 {
		args = append(args, "not_logged", kept)
	}
	log.Warn(msg, args...)
	return true
}

// pass reports whether a line with this text is to be logged, and how many of the source were not in the interval
// before.
func (q *quiet) pass(source, text string) (kept int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	c := q.about(source, now)
	if now.Sub(c.since) >= quietFor {
		kept = c.kept
		*c = complaints{since: now}
	}
	hash := maphash.String(q.seed, text)
	if slices.Contains(c.texts, hash) || len(c.texts) >= maxTexts {
		c.kept++
		return 0, false
	}
	c.texts = append(c.texts, hash)
	return kept, true
}

// about returns the entry of a source, after forgetting old ones when there is no room.
func (q *quiet) about(source string, now time.Time) *complaints {
	if c := q.sources[source]; c != nil {
		return c
	}
	if len(q.sources) >= maxSources {
		for name, c := range q.sources {
			if now.Sub(c.since) >= quietFor {
				delete(q.sources, name)
			}
		}
	}
	if len(q.sources) >= maxSources {
		source = "" // of no peer
	}
	c := q.sources[source]
	if c == nil {
		c = &complaints{since: now}
		q.sources[source] = c
	}
	return c
}
