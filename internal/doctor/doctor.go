// Package doctor looks for what is wrong, or will be, with a node that runs and with the place where one is to run. It
// changes nothing but for one small file that it removes again, and each look has an end: what hangs is reported.
package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/warning"
)

// A Level says how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Bad  Level = "bad"
)

// A Finding is one line of the report.
type Finding struct {
	Level Level        `json:"level"`
	Code  warning.Code `json:"code"` // of docs/runbook.md; empty when nothing is wrong
	Text  string       `json:"text"`
	Cure  string       `json:"cure"` // empty when nothing is wrong
}

// A Report is what was found, in the order of the looks.
type Report struct {
	Format   int       `json:"format"`
	Findings []Finding `json:"findings"`
}

// Worst returns the worst level of all findings.
func (r *Report) Worst() Level {
	worst := OK
	for _, f := range r.Findings {
		if f.Level == Bad || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}

func (r *Report) ok(format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Level: OK, Text: fmt.Sprintf(format, args...)})
}

// Wrong adds what is wrong.
func (r *Report) Wrong(code warning.Code, format string, args ...any) {
	kind, level := warning.Of(code), Warn
	if kind.Severity == warning.Critical {
		level = Bad
	}
	r.Findings = append(r.Findings, Finding{level, code, fmt.Sprintf(format, args...), kind.Cure})
}

// Write writes the report for people.
func (r *Report) Write(w io.Writer) error {
	for _, f := range r.Findings {
		line := fmt.Sprintf("%-4s  %s", f.Level, f.Text)
		if f.Cure != "" {
			line += fmt.Sprintf("\n      %s: %s", f.Code, f.Cure)
		}
		if _, err := fmt.Fprintln(w, printable.Text(line)); err != nil {
			return err
		}
	}
	return nil
}

// How far clocks may be apart, and how old packs may be.
const (
	maxSkew    = 2 * time.Second
	maxPackAge = 31 * 24 * time.Hour
)

// Node adds what a running node says of itself. It was asked and answered at these times of this machine's clock.
func (r *Report) Node(st *admin.Status, asked, answered time.Time) {
	r.ok("%s: %s, version %s", st.Name, st.Role, st.Version)
	for _, w := range st.Warnings {
		level := Warn
		if w.Severity == warning.Critical {
			level = Bad
		}
		r.Findings = append(r.Findings, Finding{level, w.Code, st.Name + ": " + w.Text, w.Cure})
	}
	if len(st.Warnings) == 0 {
		r.ok("%s: it has no warnings", st.Name)
	}
	if st.Archive != nil && !hasWarning(st, "archive_") {
		r.ok("%s: archive: %s", st.Name, st.Archive.Text(st.Now))
	}
	if st.Now.Before(asked.Add(-maxSkew)) || st.Now.After(answered.Add(maxSkew)) {
		r.Wrong(warning.ClockSkew, "%s: its clock says %s, and that of this machine %s", st.Name,
			st.Now.Format(time.RFC3339), answered.UTC().Format(time.RFC3339))
	} else {
		r.ok("%s: its clock agrees with that of this machine", st.Name)
	}
}

// hasWarning reports whether a node has a warning whose code begins so.
func hasWarning(st *admin.Status, prefix string) bool {
	return slices.ContainsFunc(st.Warnings, func(w warning.Warning) bool {
		return strings.HasPrefix(string(w.Code), prefix)
	})
}

// settled is for how long a client must be connected before its loads say something about its cache.
const settled = 10 * time.Minute

// Clients adds which clients have caches that are too small. A cache that holds what a client works with loads an
// object once, and again when it was changed: a client that has loaded twice as much as there are objects and were
// changes loads what it had.
func (r *Report) Clients(st *admin.Status, clients []admin.Client) {
	if st.ZEO == nil || st.Storage.Objects == nil || len(clients) == 0 {
		return
	}
	enough := 2 * (*st.Storage.Objects + st.ZEO.Stores)
	small := 0
	for i := range clients {
		c := &clients[i]
		if connected := st.Now.Sub(c.Since); connected >= settled && c.Loads > enough {
			small++
			r.Wrong(warning.CacheSmall, "%s: the client %s has loaded %d objects in %v, and the storage has %d",
				st.Name, clientName(c), c.Loads, connected.Round(time.Minute), *st.Storage.Objects)
		}
	}
	if small == 0 {
		r.ok("%s: none of %s loads the same objects again and again", st.Name,
			plural.Of(len(clients), "client"))
	}
}

func clientName(c *admin.Client) string {
	for _, name := range []*string{c.Label, c.Address} {
		if name != nil {
			return *name
		}
	}
	return "on this machine"
}

// Cluster adds which nodes do not answer, and whether the others have one version and one time.
func (r *Report) Cluster(c *admin.Cluster) {
	r.clocks(c.Nodes)
	versions, known := map[string]string{}, 0
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if n.Error != nil {
			r.Wrong(warning.NodeSilent, "%s does not answer: %s", n.Name, *n.Error)
		}
		if n.Version != "" {
			versions[n.Version] = n.Name
			known++
		}
	}
	switch {
	case len(versions) > 1:
		r.Wrong(warning.VersionsDiffer, "the nodes have different versions: %v", versions)
	case known > 1:
		r.ok("%d of %s say their version, and it is the same", known, plural.Of(len(c.Nodes), "node"))
	}
}

// clocks adds whose clock is apart from that of the node which asked them, the first one.
func (r *Report) clocks(nodes []admin.ClusterNode) {
	known, apart := 0, 0
	for i := range nodes {
		n := &nodes[i]
		if n.ClockAhead == nil || n.Error != nil {
			continue
		}
		known++
		ahead := time.Duration(*n.ClockAhead * float64(time.Second)).Round(time.Millisecond)
		if ahead.Abs() <= maxSkew {
			continue
		}
		apart++
		where := "ahead of"
		if ahead < 0 {
			where = "behind"
		}
		r.Wrong(warning.ClockSkew, "%s: its clock is %v %s that of %s", n.Name, ahead.Abs(), where, nodes[0].Name)
	}
	if known > 0 && apart == 0 {
		r.ok("%s: its clock agrees with what %s", nodes[0].Name,
			plural.Or(known, "other node says", "other nodes say"))
	}
}
