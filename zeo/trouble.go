package zeo

import "time"

// tellEvery is how often a trouble that stays the same is logged.
const tellEvery = time.Minute

// A trouble is something that is tried again until it succeeds, so that its log has to be bounded.
type trouble struct {
	text string // empty: there is none
	told time.Time
}

// worthTelling reports whether an error is new, or has not been told of for a while.
func (t *trouble) worthTelling(err error, now time.Time) bool {
	if text := err.Error(); text != t.text || now.Sub(t.told) >= tellEvery {
		t.text, t.told = text, now
		return true
	}
	return false
}

// ended notes that all is well, and reports whether it was not.
func (t *trouble) ended() bool {
	was := t.text != ""
	*t = trouble{}
	return was
}
