package admission

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

// Bounds for what unauthenticated peers can make this node log and remember.
const (
	quietFor   = time.Minute // a source's line is not repeated before that
	maxTexts   = 8           // different lines of one source in that time
	maxSources = 1024
	maxLines   = 64 // of all sources together in that time
)

// A LogLimiter keeps unauthenticated peers from filling the log: it lets a line of a source pass once in an
// interval, and no more than maxLines of all of them. Beyond maxSources all new ones count as one. It may be used
// concurrently.
type LogLimiter struct {
	now  func() time.Time
	seed maphash.Seed

	mu      sync.Mutex
	sources map[string]*complaints
	all     *Rate
}

// complaints are the lines about one source in one interval.
type complaints struct {
	since time.Time
	texts []uint64 // hashes
	kept  int
}

// A Rate lets so many lines pass in one interval, of whatever source. It may be used concurrently.
type Rate struct {
	now   func() time.Time
	limit int

	mu           sync.Mutex
	since        time.Time
	passed, kept int
}

// NewRate returns a Rate of so many lines a minute.
func NewRate(now func() time.Time, lines int) *Rate { return &Rate{now: now, limit: lines} }

// NewLogLimiter returns an empty LogLimiter.
func NewLogLimiter(now func() time.Time) *LogLimiter {
	return &LogLimiter{now: now, seed: maphash.MakeSeed(), sources: make(map[string]*complaints),
		all: NewRate(now, maxLines)}
}

// Warn logs a line about a source and reports whether it did. Lines are distinguished by text: of an error its Kind.
func (q *LogLimiter) Warn(log hclog.Logger, source, text, msg string, args ...any) bool {
	return q.Log(log, hclog.Warn, source, text, msg, args...)
}

// Log is Warn for another level.
func (q *LogLimiter) Log(log hclog.Logger, level hclog.Level, source, text, msg string, args ...any) bool {
	kept, ok := q.pass(source, text)
	if !ok {
		return false
	}
	if kept > 0 {
		args = append(args, "not_logged", kept)
	}
	log.Log(level, msg, args...)
	return true
}

// pass reports whether a line with this text is to be logged, and how many were not before: of this source, or, in the
// first line of an interval, of all of them for which there was no room.
func (q *LogLimiter) pass(source, text string) (kept int, ok bool) {
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
	more, ok := q.all.pass()
	if !ok {
		c.kept += kept
		return 0, false
	}
	return kept + more, true
}

// pass reports whether a line is to be logged, and how many were not in the interval before.
func (r *Rate) pass() (kept int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.since) >= quietFor {
		kept = r.kept
		r.since, r.passed, r.kept = now, 0, 0
	}
	if r.passed >= r.limit {
		r.kept++
		return 0, false
	}
	r.passed++
	return kept, true
}

// Log logs a line if it may pass.
func (r *Rate) Log(log hclog.Logger, level hclog.Level, msg string, args ...any) {
	kept, ok := r.pass()
	if !ok {
		return
	}
	if kept > 0 {
		args = append(args, "not_logged", kept)
	}
	log.Log(level, msg, args...)
}

// Kind returns what distinguishes an error from others: its text without digits. Ports, lengths and tids differ each
// time and tell an operator nothing new.
func Kind(err error) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, err.Error())
}

// about returns the entry of a source, after forgetting old ones when there is no room.
func (q *LogLimiter) about(source string, now time.Time) *complaints {
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
