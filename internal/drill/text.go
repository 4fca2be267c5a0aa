package drill

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/printable"
)

// WriteJSON writes the report as a JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// seconds is a duration for people.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

// WriteText writes the report as tables.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n\n", r.Guarantee())
	if r.Restore {
		return r.writeRestores(t, w)
	}
	fmt.Fprintln(t, "scenario\tresult\tcommits\tlost\twrong\tfailovers\twrite pause\tread pause\tredundant after")
	for i := range r.Scenarios {
		o := &r.Scenarios[i]
		if o.Verdict == nil {
			fmt.Fprintf(t, "%s\t%s\t\t\t\t\t\t\t\n", o.Name, o.Result())
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", o.Name, o.Result(), o.Verdict.Acknowledged,
			len(o.Verdict.Lost), len(o.Verdict.Violations), o.Failovers, seconds(o.WritePause), seconds(o.ReadPause),
			seconds(o.Redundancy))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range r.Scenarios {
		if _, err := io.WriteString(w, r.Scenarios[i].details()); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.Again())
	return err
}

// writeRestores writes what was restored.
func (r *Report) writeRestores(t *tabwriter.Writer, w io.Writer) error {
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range r.Scenarios {
		o := &r.Scenarios[i]
		for k := range o.Restores {
			fmt.Fprintln(w, printable.Text(o.Restores[k].String()))
		}
		if o.Error != "" {
			fmt.Fprintln(w, "FAILED:", printable.Text(o.Error))
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.Again())
	return err
}

// Result is the outcome in a word.
func (o *Outcome) Result() string {
	if o.Held {
		return "held"
	}
	return "FAILED"
}

// Guarantee says what had to hold, and whether it did.
func (r *Report) Guarantee() string {
	guarantee := "commits do not wait for secondaries: what no secondary had may be set aside, but does not vanish"
	switch {
	case r.Restore:
		guarantee = "what was archived can be restored, and read, as it was"
	case r.Staging:
		guarantee = "planned changes lose nothing"
	case r.Sync > 0:
		guarantee = fmt.Sprintf("commits wait for %d of 2 secondaries: no acknowledged commit is lost", r.Sync)
	}
	if r.Held {
		return "The guarantee held: " + guarantee + "."
	}
	return "THE GUARANTEE DID NOT HOLD: " + guarantee + "."
}

// Again says how to play the same again.
func (r *Report) Again() string {
	text := fmt.Sprintf("The same choices again: --seed %d", r.Seed)
	if !r.Staging && !r.Restore {
		text += fmt.Sprintf(" --sync-secondaries %d", r.Sync)
	}
	if r.Kept {
		text += "\nEverything is kept in " + r.Folder
	}
	return text
}

// maxShown is how many violations are listed in text.
const maxShown = 10

// details are what a table has no room for, empty for nothing.
func (o *Outcome) details() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format+"\n", args...) }
	if o.Error != "" {
		line("%s", strings.ReplaceAll(printable.Text(o.Error), "\n", "\n  "))
	}
	for i, e := range o.Events {
		if !o.Held && i >= len(o.Events)-maxShown {
			line("at %v: %s", time.Duration(e.At).Round(time.Millisecond), printable.Line(e.Text))
		}
	}
	if o.Simulated != "" {
		line("simulated: %s", o.Simulated)
	}
	if v := o.Verdict; v != nil {
		line("%s, %d of them at a primary; %s had an unknown outcome, %d of these are there",
			plural.Of(v.Reads, "read"), v.PrimaryReads, plural.Of(v.Found+v.Missing, "commit"), v.Found)
		for i, violation := range v.Violations {
			if i == maxShown {
				line("… and %d more", len(v.Violations)-maxShown)
				break
			}
			line("wrong: %v", violation)
		}
	}
	for _, p := range o.Peers {
		line("ZEO %s, client %s: longest time without a commit %s", p.ZEO, p.Client, seconds(p.Seconds))
	}
	if o.ByHand+o.ByItself > 0 {
		line("rewound: %s by an operator, %s by the node itself", plural.Of(o.ByHand, "time"),
			plural.Of(o.ByItself, "time"))
	}
	for _, a := range o.Aside {
		line("set aside: %s in %s", plural.Of(a.Transactions, "transaction"), a.Path)
	}
	return "\n" + o.Name + "\n" + b.String()
}
