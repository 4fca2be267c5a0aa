package history

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
)

// A Violation says that a rule does not hold.
type Violation struct {
	Rule   Rule   `json:"rule"`
	Client string `json:"client,omitempty"` // empty: it is about the files
	At     int64  `json:"at_ns,omitempty"`  // when the client was told, by the drill's clock
	Text   string `json:"text"`
}

func (v Violation) String() string {
	if v.Client == "" {
		return fmt.Sprintf("%s: %s", v.Rule, v.Text)
	}
	return fmt.Sprintf("%s: client %s at %v: %s", v.Rule, v.Client, time.Duration(v.At).Round(time.Microsecond), v.Text)
}

// A Reign is the time in which a node was the only primary. Until 0 means to the end.
type Reign struct {
	Node         string
	Since, Until int64 // of the drill's clock
}

// A Case is all there is to judge.
type Case struct {
	Ops     []Op
	Truth   *Truth
	Aside   []*Truth // what was cut off from former primaries and kept: two of them may have used the same tid
	Cut     zodb.Tid // the first transaction that was cut off anywhere, whoever wrote it; 0: none was
	Reigns  []Reign
	MayLose bool     // acknowledged commits may be set aside: nobody waited for secondaries
	Counter zodb.Oid // whose values are numbers, rising by one
}

// A Verdict is what Check found.
type Verdict struct {
	Acknowledged int         `json:"acknowledged"` // commits
	Lost         []zodb.Tid  `json:"lost"`         // of those, set aside, which is allowed
	Found        int         `json:"unknown_found"`
	Missing      int         `json:"unknown_missing"`
	Reads        int         `json:"reads"`         // by all clients
	PrimaryReads int         `json:"primary_reads"` // of those, of a primary in its reign
	CutReads     int         `json:"cut_reads"`     // that showed what was cut off later, which is allowed
	Violations   []Violation `json:"violations"`
}

// Check judges a case.
func Check(c *Case) *Verdict {
	k := &checker{Case: c, verdict: &Verdict{}, claims: map[zodb.Tid]*Op{}}
	for i := range c.Ops {
		op := &c.Ops[i]
		switch op.Kind {
		case Commit:
			k.acknowledged(op)
		case Unknown:
			k.unknown(op)
		case Refused:
			k.refused(op)
		case Read, Snapshot:
			k.read(op)
		}
	}
	k.unclaimed()
	k.counter()
	k.orders()
	return k.verdict
}

type checker struct {
	*Case
	verdict *Verdict
	claims  map[zodb.Tid]*Op // who has written each transaction in the files
	shown   map[connection]zodb.Tid
}

// A connection is one of a client's.
type connection struct {
	client string
	conn   int
}

func (k *checker) violated(rule Rule, op *Op, format string, args ...any) {
	v := Violation{Rule: rule, Text: fmt.Sprintf(format, args...)}
	if op != nil {
		v.Client, v.At = op.Client, op.End
	}
	k.verdict.Violations = append(k.verdict.Violations, v)
}

// reigned reports whether a node was primary all the time from begin to end.
func (k *checker) reigned(op *Op) bool {
	for _, r := range k.Reigns {
		if r.Node == op.Node && op.Begin >= r.Since && (r.Until == 0 || op.End <= r.Until) {
			return true
		}
	}
	return false
}
