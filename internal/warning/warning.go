// Package warning has the one table of everything that zrsd warns about: in its log, in /status, on the status page, by
// zrsd doctor, and by the alerts that come with it. A Kind says what is wrong and what to do, without values; a Warning
// is one that holds now, with them.
//
// The package starts no goroutine. A List may be used concurrently.
package warning

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// A Code names a kind of warning: in JSON, in metrics, in the log and in the names of alerts. Codes do not change.
type Code string

// A Severity says how soon somebody has to act.
type Severity string

// The severities.
const (
	Minor    Severity = "warning"  // act today: it may become critical, or something is less safe than it could be
	Critical Severity = "critical" // act now: clients are, or one more failure would make them, without service or data
)

// A Kind is what may be wrong.
type Kind struct {
	Code     Code
	Severity Severity
	Title    string        // what is wrong, without values
	Means    string        // what follows from it
	Cure     string        // what to do
	After    time.Duration // for how long it must have lasted before it is a warning
	LoggedBy string        // what logs it where it is found, in more words; empty: a Log does
	NoAlert  string        // why there is no alert for it; empty: there is one
	Event    bool          // it is a line of the log when it happens, and does not hold for a time
	Doctor   bool          // only zrsd doctor looks for it
}

// A Condition is what holds now, as one look has found it.
type Condition struct {
	Code  Code
	About string    // what it is about, where a Kind can hold for several: a secondary, a certificate
	Text  string    // what is wrong, with values
	Since time.Time // zero: since it was found first
}

// A Warning is a condition that has lasted for long enough.
type Warning struct {
	Code     Code      `json:"code"`
	Severity Severity  `json:"severity"`
	About    string    `json:"about"` // empty: the node itself
	Text     string    `json:"text"`
	Cure     string    `json:"cure"`
	Since    time.Time `json:"since"`
}

// A key tells conditions apart. Of several that are about the same the order counts.
type key struct {
	code   Code
	about  string
	number int
}

// A List remembers since when conditions hold. The zero value is ready.
type List struct {
	mu    sync.Mutex
	since map[key]time.Time
}

// maxActive bounds how many conditions one storage has: what they are about comes from peers.
const maxActive = 200

// Update takes what one look has found, and returns the warnings, critical ones first, the older first among equals.
func (l *List) Update(found []Condition, now time.Time) []Warning {
	l.mu.Lock()
	defer l.mu.Unlock()
	still := make(map[key]time.Time, len(found))
	var list []Warning
	for _, c := range found[:min(len(found), maxActive)] {
		k := key{code: c.Code, about: c.About}
		for _, taken := still[k]; taken; _, taken = still[k] {
			k.number++
		}
		since := c.Since
		if since.IsZero() {
			since = now
			if before, was := l.since[k]; was {
				since = before
			}
		}
		still[k] = since
		if kind := Of(c.Code); now.Sub(since) >= kind.After {
			list = append(list, Warning{c.Code, kind.Severity, c.About, c.Text, kind.Cure, since.UTC()})
		}
	}
	l.since = still
	slices.SortStableFunc(list, compare)
	return list
}

func compare(a, b Warning) int {
	if a.Severity != b.Severity {
		if a.Severity == Critical {
			return -1
		}
		return 1
	}
	return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Code, b.Code), cmp.Compare(a.About, b.About))
}

// Of returns the kind of a code. It panics for one that is not in the table, which the tests would have found.
func Of(code Code) Kind {
	for _, k := range Table {
		if k.Code == code {
			return k
		}
	}
	panic("a warning that is not registered: " + string(code))
}
