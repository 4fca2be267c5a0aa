package history

import (
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A Rule is one of those in the package comment, by its name there.
type Rule string

// The rules.
const (
	Acknowledged Rule = "acknowledged"
	Atomic       Rule = "atomic"
	Invented     Rule = "invented"
	LostUpdate   Rule = "lost update"
	Counter      Rule = "counter"
	Committed    Rule = "committed"
	PointInTime  Rule = "point in time"
	BackInTime   Rule = "back in time"
	Keys         Rule = "keys"
)

// A Violation says that a rule does not hold.
type Violation struct {
	Rule   Rule
	Client string // empty: it is about the file
	Line   int    // of the client's log, from 1
	Text   string
}

func (v Violation) String() string {
	if v.Client == "" {
		return fmt.Sprintf("%s: %s", v.Rule, v.Text)
	}
	return fmt.Sprintf("%s: %s, line %d: %s", v.Rule, v.Client, v.Line, v.Text)
}

// A Verdict is what Check found.
type Verdict struct {
	Violations []Violation
	Keys       map[string]bool // that the transactions in the file have added to the set
	Lost       int             // commits of unknown outcome that are not in the file
	Found      int             // and that are
}

// Check compares all that the clients were told with the truth.
func Check(truth *Truth, logs []*Log) *Verdict {
	c := &checker{truth: truth, verdict: &Verdict{Keys: map[string]bool{}}, claims: map[zodb.Tid]*Line{}}
	c.eachLine(logs, Commit, c.acknowledged)
	c.eachLine(logs, Unknown, c.unknown)
	c.unclaimed()
	c.counters()
	c.countKeys()
	for _, log := range logs {
		c.client, c.floor = log.Client, 0
		for i := range log.Lines {
			c.line = i + 1
			c.seen(&log.Lines[i])
		}
	}
	return c.verdict
}

// A checker goes through the logs: first through all commits, which have to explain the file, and then through what
// was seen of it.
type checker struct {
	truth   *Truth
	verdict *Verdict
	claims  map[zodb.Tid]*Line // by whom each transaction in the file was written
	adding  []zodb.Tid         // transactions that added a key, in order

	client string
	line   int
	floor  zodb.Tid // what the client must see at least
}

func (c *checker) eachLine(logs []*Log, kind string, judge func(*Line)) {
	for _, log := range logs {
		c.client = log.Client
		for i := range log.Lines {
			c.line = i + 1
			if log.Lines[i].Kind == kind {
				judge(&log.Lines[i])
			}
		}
	}
}

// violated notes a violation by the client in the line that is being looked at.
func (c *checker) violated(rule Rule, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.verdict.Violations = append(c.verdict.Violations, Violation{rule, c.client, c.line, text})
}
