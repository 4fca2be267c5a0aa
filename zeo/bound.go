package zeo

import (
	"fmt"
	"math"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// maxYearsAhead is how many years a tid that a client gives may be ahead of the clock. Every later tid has to be above:
// after the last one there is, nothing could be committed any more. Files of clocks that went wrong by days or years
// are copied over ZEO all the same, as runzeo lets them.
const maxYearsAhead = 10

// maxStep is how far it may be ahead of the last transaction where that is further ahead already.
const maxStep = 24 * time.Hour

// maxGivenOid is the highest oid that a client may give to an object. It leaves as many for new ones.
const maxGivenOid zodb.Oid = math.MaxInt64

// A given is what a client itself has chosen of a transaction: the highest tid and the highest oid.
type given struct {
	tid zodb.Tid
	oid zodb.Oid
}

func (g *given) record(oid zodb.Oid, tid zodb.Tid) { g.oid, g.tid = max(g.oid, oid), max(g.tid, tid) }

// believes refuses what would leave no tids or oids for later transactions. It is asked before the vote begins: a tid
// that was given to a transaction counts, whatever becomes of that.
func (s *storage) believes(g given, now time.Time) error {
	if last := s.st.LastTid(); g.tid > last {
		bound := now.AddDate(maxYearsAhead, 0, 0)
		if step := last.Time().Add(maxStep); last != 0 && step.After(bound) {
			bound = step
		}
		if most, err := zodb.TidFromTime(bound); err != nil || g.tid > most {
			return raise(
				classStorage,
				fmt.Sprintf("the client sent tid %v, more than %d years after the server's clock and more than %v "+
					"after the last transaction %v: set the clocks right; a file with such tids can be copied, and "+
					"not sent by a client", g.tid, maxYearsAhead, maxStep, last),
			)
		}
	}
	if g.oid > maxGivenOid {
		return raise(
			classStorage,
			fmt.Sprintf("the client sent oid %v: it would leave too few oids for new objects", g.oid),
		)
	}
	return nil
}
