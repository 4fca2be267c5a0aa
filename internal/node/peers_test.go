package node

import (
	"testing"
	"time"
)

// A clock that showed a time between the question and the answer may be right: only what lies outside counts.
func TestAClockIsApartByWhatTheWayCannotExplain(t *testing.T) {
	asked := time.Unix(1_000_000, 0)
	heard := asked.Add(3 * time.Second)
	for name, c := range map[string]struct {
		shows time.Duration // after the question
		want  float64
	}{
		"as asked":  {0, 0},
		"between":   {time.Second, 0},
		"as heard":  {3 * time.Second, 0},
		"ahead":     {10 * time.Second, 7},
		"behind":    {-10 * time.Second, -10},
		"far ahead": {24 * time.Hour, 86397},
	} {
		t.Run(name, func(t *testing.T) {
			shows := asked.Add(c.shows)
			if got := clockAhead(&shows, asked, heard); got == nil || *got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := clockAhead(nil, asked, heard); got != nil {
		t.Errorf("the clock of a node that did not say it is %v ahead", *got)
	}
}
