package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/zodb"
)

// A Report is what a drill has found. Durations are seconds.
type Report struct {
	Version   string    `json:"version"`
	Seed      uint64    `json:"seed"`
	Sync      int       `json:"sync_secondaries"`
	Staging   bool      `json:"staging"` // on a cluster that was there
	Restore   bool      `json:"restore"` // of an archive
	Begun     time.Time `json:"begun"`
	Held      bool      `json:"held"`   // whether what is promised held in all scenarios
	Folder    string    `json:"folder"` // the folder of all files, as long as it is kept
	Kept      bool      `json:"kept"`
	Scenarios []Outcome `json:"scenarios"`
}

// An Outcome is what became of one scenario.
type Outcome struct {
	Name      string `json:"name"`
	About     string `json:"about"`
	Simulated string `json:"simulated,omitempty"`

	Held       bool                 `json:"held"`
	Error      string               `json:"error,omitempty"` // the step that did not come true
	Nodes      []string             `json:"nodes"`
	Rounds     int                  `json:"rounds"`
	Failovers  int                  `json:"failovers"` // changes of the primary
	Verdict    *consistency.Verdict `json:"verdict"`
	WritePause float64              `json:"write_pause_seconds"` // the longest time without an acknowledged commit
	ReadPause  float64              `json:"read_pause_seconds"`  // the longest time without a read at any node
	Redundancy float64              `json:"redundancy_seconds"`  // the longest time until all nodes had all again
	Aside      []Aside              `json:"aside"`
	ByHand     int                  `json:"rewound_by_hand"`   // how often an operator had to rewind a node
	ByItself   int                  `json:"rewound_by_itself"` // how often a node did that
	Peers      []ClientPause        `json:"zeo_clients"`       // real ones, if there were any
	Restores   []Restored           `json:"restores,omitempty"`

	Duration       float64                     `json:"duration_seconds"`
	Events         []Event                     `json:"events"`
	PrimaryPeriods []consistency.PrimaryPeriod `json:"primary_periods"`
	Commits        []int                       `json:"commits"` // acknowledged, in equal parts of the duration
}

// An Aside is what was cut off from a node.
type Aside struct {
	Path         string `json:"path"`
	Transactions int    `json:"transactions"` // that are not in the files of the cluster
}

// A Restored is a moment that was restored from an archive.
type Restored struct {
	Moment       string   `json:"moment"` // latest, or drawn
	Tid          zodb.Tid `json:"tid"`
	Generation   uint64   `json:"generation"`
	Size         int64    `json:"size"` // of the data file
	Blobs        uint64   `json:"blobs"`
	Missing      uint64   `json:"blobs_missing"` // that the nodes which archived did not have
	Seconds      float64  `json:"seconds"`       // for the restore
	Transactions uint64   `json:"transactions"`
	Writer       bool     `json:"as_archived"`    // the history is what its writer said; false: it said nothing of it
	Node         string   `json:"node,omitempty"` // what a node says of it; empty: none was asked
	Objects      int      `json:"objects"`        // that a client has read
	Python       int      `json:"python_objects"` // likewise, in Python
}

// String is the moment in a line.
func (r *Restored) String() string {
	text := fmt.Sprintf("%s: transaction %v (%s), generation %d: %s, %d bytes and %s in %s",
		r.Moment, r.Tid, r.Tid.Time().UTC().Format("2006-01-02 15:04:05 UTC"), r.Generation,
		plural.Of(r.Transactions, "transaction"), r.Size, plural.Of(r.Blobs, "blob"), seconds(r.Seconds))
	if r.Missing > 0 {
		text += fmt.Sprintf(", %s missing when it was archived", plural.Or(r.Missing, "blob was", "blobs were"))
	}
	if r.Writer {
		text += "; the history is what was archived"
	}
	if r.Node != "" {
		text += "; the node: " + r.Node
	}
	text += "; a ZEO client has read " + plural.Of(r.Objects, "object")
	if r.Python > 0 {
		text += fmt.Sprintf(", one in Python %d", r.Python)
	}
	return text
}

// brief is the outcome in a line.
func (o *Outcome) brief() string {
	switch {
	case o.Error != "":
		return fmt.Sprintf("%s: FAILED: %s", o.Name, o.Error)
	case !o.Held:
		return fmt.Sprintf("%s: FAILED: %s, such as: %v", o.Name, plural.Of(len(o.Verdict.Violations), "violation"),
			o.Verdict.Violations[0])
	}
	lost := "none lost"
	if n := len(o.Verdict.Lost); n > 0 {
		lost = fmt.Sprintf("%d lost as allowed", n)
	}
	return fmt.Sprintf("%s: held: %s acknowledged, %s, %s", o.Name, plural.Of(o.Verdict.Acknowledged, "commit"), lost,
		plural.Of(o.Failovers, "failover"))
}

// fill takes what the run knows.
func (o *Outcome) fill(r *Run) {
	o.ByHand = r.byHand
	o.Failovers, o.Redundancy, o.Duration = r.failovers, r.redundant.Seconds(), time.Duration(r.clock()).Seconds()
	for _, n := range r.Nodes {
		o.Nodes = append(o.Nodes, n.Name)
	}
}

// judge compares what the clients were told with what is in the files, if the scenario came to its end: before that
// nobody knows what the files will have.
func (o *Outcome) judge(ctx context.Context, r *Run, at target, ops []consistency.Op) error {
	o.figures(ops)
	if o.Error != "" {
		return nil
	}
	truth, aside, err := at.files(ctx, r, o)
	if err != nil {
		o.Error = err.Error()
		return nil //nolint:nilerr // it is what was found
	}
	o.Verdict = consistency.Check(&consistency.Case{
		Ops:            ops,
		Truth:          truth,
		Aside:          aside,
		Cut:            r.cut,
		PrimaryPeriods: r.periods,
		MayLose:        at.mayLose(),
	})
	o.Held = len(o.Verdict.Violations) == 0
	return nil
}

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
