package secondary

import "github.com/zrsd/zrsd/zodb"

// maxYearsAhead is how far tids of a primary may be ahead of the clock here, or of the last transaction where that is
// ahead itself. Files of clocks that were wrong by years are copied as they are. What lies after that is a tid after
// which nothing could be committed any more, by anybody who is promoted later.
const maxYearsAhead = 100

// believes refuses a transaction that would leave no tids for later ones.
func (s *Secondary) believes(tid zodb.Tid) error {
	last, bound := s.st.LastTid(), s.opt.now()
	if last != 0 && last.Time().After(bound) {
		bound = last.Time()
	}
	if most, err := zodb.TidFromTime(bound.AddDate(maxYearsAhead, 0, 0)); err == nil && tid > most {
		return unfit("the primary sends transaction %v, of a time more than %d years ahead: after it there would "+
			"be almost no tids left; run zrsd check on the primary's file, and look at both clocks",
			tid,
			maxYearsAhead)
	}
	return nil
}
