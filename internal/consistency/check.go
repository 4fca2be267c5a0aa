package consistency

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A Rule is one of those in the package comment, by its name there.
type Rule string

// The rules.
const (
	Acknowledged Rule = "acknowledged"
	Atomic       Rule = "atomic"
	NotRefused   Rule = "refused"
	Invented     Rule = "invented"
	LostUpdate   Rule = "lost update"
	Counting     Rule = "counter"
	Linearisable Rule = "linearisable"
	Committed    Rule = "committed"
	PointInTime  Rule = "point in time"
	BackInTime   Rule = "back in time"
	Keys         Rule = "keys"
)

// A Violation says that a rule does not hold.
type Violation struct {
	Rule   Rule   `json:"rule"`
	Client string `json:"client,omitempty"` // empty: it is about the files
	At     int64  `json:"at_ns,omitempty"`  // when the client was told, by the clock that all share
	Line   int    `json:"line,omitempty"`   // of the client's log, where it was read from one
	Text   string `json:"text"`
}

func (v Violation) String() string {
	switch {
	case v.Client == "":
		return fmt.Sprintf("%s: %s", v.Rule, v.Text)
	case v.Line > 0:
		return fmt.Sprintf("%s: client %s, line %d: %s", v.Rule, v.Client, v.Line, v.Text)
	}
	return fmt.Sprintf("%s: client %s at %v: %s", v.Rule, v.Client, time.Duration(v.At).Round(time.Microsecond), v.Text)
}

// A PrimaryPeriod is the time in which a node was the only primary. Until 0 means to the end.
type PrimaryPeriod struct {
	Node  string `json:"node"`
	Since int64  `json:"since_ns"` // by the clock of the clients
	Until int64  `json:"until_ns"`
}

// A Case is all there is to judge.
type Case struct {
	Ops            []Op
	Truth          *Truth
	Aside          []*Truth        // set aside from former primaries: two of them may have used the same tid
	Cut            zodb.Tid        // the first transaction that was cut off anywhere, whoever wrote it; 0: none was
	PrimaryPeriods []PrimaryPeriod // none: the clients share no clock
	MayLose        bool            // acknowledged commits may be set aside: nobody waited for secondaries
}

// A Verdict is what Check found.
type Verdict struct {
	Acknowledged int         `json:"acknowledged"` // commits
	Lost         []zodb.Tid  `json:"lost"`         // of those, set aside, which is allowed
	Found        int         `json:"unknown_found"`
	Missing      int         `json:"unknown_missing"`
	Reads        int         `json:"reads"`         // by all clients
	PrimaryReads int         `json:"primary_reads"` // of those, of a primary while it was primary
	CutReads     int         `json:"cut_reads"`     // that showed what was cut off later, which is allowed
	Violations   []Violation `json:"violations"`

	Keys map[string]bool `json:"-"` // that the transactions in the files have added to the set
}

// Check judges a case: first all commits, which have to explain the files, and then what was seen of them.
func Check(c *Case) *Verdict {
	k := &checker{
		Case: c, verdict: &Verdict{Keys: map[string]bool{}},
		claims: map[zodb.Tid]*Op{}, floor: map[connection]zodb.Tid{},
	}
	k.each(Commit, k.acknowledged)
	k.each(Unknown, k.unknown)
	k.each(Refused, k.refused)
	k.unclaimed()
	k.counters()
	for i := range c.Ops {
		switch op := &c.Ops[i]; op.Kind {
		case Commit:
			k.raise(op, op.Tid)
		case Read, Snapshot:
			k.read(op)
		case Unknown, Refused:
		}
	}
	if len(c.PrimaryPeriods) > 0 {
		k.orders()
	}
	return k.verdict
}

func (k *checker) each(kind Kind, judge func(*Op)) {
	for i := range k.Ops {
		if k.Ops[i].Kind == kind {
			judge(&k.Ops[i])
		}
	}
}

type checker struct {
	*Case
	verdict *Verdict
	claims  map[zodb.Tid]*Op        // who has written each transaction in the files
	adding  []zodb.Tid              // transactions that added a key, in order
	floor   map[connection]zodb.Tid // what must be seen at least
}

// A connection is one of a client's.
type connection struct {
	client string
	conn   int
}

func (k *checker) violated(rule Rule, op *Op, format string, args ...any) {
	v := Violation{Rule: rule, Text: fmt.Sprintf(format, args...)}
	if op != nil {
		v.Client, v.At, v.Line = op.Client, op.End, op.line
	}
	k.verdict.Violations = append(k.verdict.Violations, v)
}

// wasPrimary reports whether a node was primary all the time from begin to end.
func (k *checker) wasPrimary(op *Op) bool {
	for _, r := range k.PrimaryPeriods {
		if r.Node == op.Node && op.Begin >= r.Since && (r.Until == 0 || op.End <= r.Until) {
			return true
		}
	}
	return false
}
