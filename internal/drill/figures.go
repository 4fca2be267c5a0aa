package drill

import (
	"time"

	"github.com/zrsd/zrsd/internal/consistency"
)

// parts are how many the duration of a scenario is divided into for the timeline.
const parts = 120

// figures are the pauses and the commits over time.
func (o *Outcome) figures(ops []consistency.Op) {
	end := int64(o.Duration * float64(time.Second))
	o.Commits = make([]int, parts)
	var commits, reads []int64
	for i := range ops {
		switch op := &ops[i]; op.Kind {
		case consistency.Commit:
			commits = append(commits, op.End)
			if end > 0 {
				o.Commits[min(op.End*parts/end, parts-1)]++
			}
		case consistency.Read, consistency.Snapshot:
			reads = append(reads, op.End)
		case consistency.Unknown, consistency.Refused:
		}
	}
	o.WritePause, o.ReadPause = longest(commits), longest(reads)
}

// longest returns the longest time between two of the times, in seconds. They are nearly in order: each was noted just
// before it was added to the log.
func longest(times []int64) float64 {
	var pause, last int64
	for i, t := range times {
		if i > 0 {
			pause = max(pause, t-last)
		}
		last = max(last, t)
	}
	return time.Duration(pause).Seconds()
}
