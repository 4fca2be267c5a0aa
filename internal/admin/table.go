package admin

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/zodb"
)

const unknown = "-"

// WriteTable writes st for people: a block about the node, and a table with a line for each secondary.
func WriteTable(w io.Writer, st *Status) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")) } // Flush returns the error
	row("role", st.Role)
	row("name", clean(st.Name))
	if st.Epoch != nil {
		row("epoch", epochText(st))
	}
	row("version", st.Version)
	row("ready", readyText(st))
	if st.Conflict != nil && st.Ready { // otherwise it is why the node is not ready
		row("conflict", st.Conflict.Kind, clean(st.Conflict.Text))
	}
	row("data", clean(st.Storage.Path)+storageNotes(&st.Storage))
	row("last tid", tidText(st.Storage.LastTid), timeText(st.Storage.LastTime))
	if st.Archive != nil {
		row("archive", clean(st.Archive.Text(st.Now)))
	}
	if st.ApplyDelay != nil {
		row("shown", delayText(st.ApplyDelay))
	}
	rowsOfWork(row, st)
	for _, t := range st.Troubles {
		row("trouble", clean(t.Text), "since "+timeText(&t.Since))
	}
	for _, a := range st.SetAside {
		row("set aside", fmt.Sprintf("by itself at %s: %v to %v, after %v, in %s; %s", clean(a.At), a.First, a.Until,
			a.Last, clean(a.File), clean(a.Why)))
	}
	for _, r := range st.Reseeds {
		row("seeded anew", fmt.Sprintf("at %s (%s): %s; what there was is set aside as %s.%s", clean(r.At),
			clean(r.Why), clean(r.Found), clean(st.Storage.Path), clean(r.Name)))
	}
	if ahead := st.Storage.Future; ahead > 0 {
		row("", fmt.Sprintf("WARNING: %v in the future: a clock was ahead, or this one is behind",
			time.Duration(ahead*float64(time.Second)).Round(time.Second)))
	}
	if st.Coordinator != nil {
		row("coordinator", clean(st.Coordinator.Address), coordinatorText(st.Coordinator))
		errorRow(row, "its error", st.Coordinator.LastError, st.Coordinator.LastErrorAt)
	}
	if st.Sync != nil {
		row("waits for", syncText(st.Sync))
	}
	errorRow(row, "read error", st.Storage.LastError, st.Storage.LastErrorAt)
	row("size", bytesText(&st.Storage.Size), countText(st.Storage.Objects)+" objects")
	if u := st.Upstream; u != nil {
		row("primary", clean(text(u.Name)), clean(text(u.Address)))
		row("state", u.State, "since "+timeText(u.Since))
		row("protocol", text(u.Protocol))
		row("primary's tid", tidText(u.LastTid))
		row("applied", tidText(u.Applied))
		row("durable", tidText(u.Durable))
		row("behind", lagText(&u.Lag))
		if u.Seed != nil {
			row("seed", seedText(u.Seed))
		}
		errorRow(row, "last error", u.LastError, u.LastErrorAt)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return writeSecondaries(w, slices.Concat(st.Secondaries, st.Disconnected))
}

// rowsOfWork are about what a node does by itself, now and then.
func rowsOfWork(row func(...string), st *Status) {
	if st.Verify != nil {
		row("verified", verifyText(st.Verify))
	}
	if st.Packs != nil {
		row("packs", packsText(st.Packs))
	}
}

// errorRow is for an error that is not over.
func errorRow(row func(...string), name string, err *string, at *time.Time) {
	if err != nil {
		row(name, clean(*err), errorNote(at))
	}
}

// verifyText says when the storage was verified and what was found.
func verifyText(v *verify.Status) string {
	said := "never"
	if last := v.Last; last != nil {
		said = fmt.Sprintf("%s: %s, %s", timeText(&last.Ended), plural.Of(last.Damages, "damage"),
			plural.Of(last.Warnings, "warning"))
	}
	if f := v.Failed; f != nil {
		said += fmt.Sprintf("; not finished at %s: %s", timeText(&f.Ended), clean(text(f.Error)))
	}
	switch r := v.Running; {
	case r != nil && r.Total > 0:
		said += fmt.Sprintf("; now: %d %%", r.Done*100/r.Total)
	case r != nil:
		said += "; now"
	case v.Next != nil:
		said += "; next " + timeText(v.Next)
	}
	return said
}

// packsText says when the storage is packed by schedule, and when it was.
func packsText(p *packplan.State) string {
	said := fmt.Sprintf("%s, next %s", clean(p.Schedule), timeText(p.Next))
	if p.Done != nil {
		said += fmt.Sprintf("; that of %s ended %s", timeText(p.Done), timeText(p.Ended))
	}
	if p.Failed != nil {
		said += ": FAILED: " + clean(*p.Failed)
	}
	if p.LeftOut != nil {
		said += fmt.Sprintf("; LEFT OUT at %s: %s", timeText(&p.LeftOut.Time), clean(p.LeftOut.Why))
	}
	if p.Waits != nil {
		said += "; WAITS: " + clean(*p.Waits)
	}
	return said
}

func writeSecondaries(w io.Writer, list []Secondary) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "\nno secondaries")
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "SECONDARY\tADDRESS\tSTATE\tPROTOCOL\tAPPLIED\tDURABLE\tTXNS\tBYTES\tSECONDS\tLAST ERROR")
	for i := range list {
		s := &list[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", clean(s.Name), clean(s.Address), stateText(s),
			text(s.Protocol), tidText(s.Applied), tidText(s.Durable),
			countText(s.Lag.Transactions), bytesText(s.Lag.Bytes), secondsText(s.Lag.Seconds), errorText(s))
	}
	return tw.Flush()
}

// errorText is the last error of a secondary, or that its disk may be away.
func errorText(s *Secondary) string {
	if s.LastError == nil && s.Replaced != nil {
		return fmt.Sprintf("began with nothing, in place of a node with %s: was its disk replaced, or is it not "+
			"mounted?", tidText(s.Replaced.Durable))
	}
	return clean(text(s.LastError))
}

// stateText says how far a secondary is that takes the data file as it is.
func stateText(s *Secondary) string {
	if s.Seed == nil || s.Seed.Total <= 0 {
		return s.State
	}
	return fmt.Sprintf("%s %d%%", s.State, 100*s.Seed.Done/s.Seed.Total)
}

// seedText says how far this node is in taking the data file as it is.
func seedText(s *Seed) string {
	rate := int64(s.Rate)
	words := fmt.Sprintf("%s of %s, %s/s", bytesText(&s.Done), bytesText(&s.Total), bytesText(&rate))
	if s.Left == nil {
		return words
	}
	return fmt.Sprintf("%s, %v left", words, time.Duration(*s.Left*float64(time.Second)).Round(time.Second))
}

func readyText(st *Status) string {
	switch {
	case st.Ready:
		return "yes"
	case st.NotReady != nil:
		return "no: " + clean(*st.NotReady)
	}
	return "no"
}

// epochText says since when the primary is who it is, and what keeps this node from being it.
func epochText(st *Status) string {
	words := fmt.Sprint(st.Epoch.Number)
	if st.Epoch.By != nil {
		words += " begun by " + clean(*st.Epoch.By)
	}
	if st.Epoch.At != nil {
		words += " at " + clean(*st.Epoch.At)
	}
	if st.Fenced && st.MaxEpochSeen != nil {
		words += fmt.Sprintf("; FENCED: another node is primary of epoch %d", *st.MaxEpochSeen)
	}
	if st.Frozen {
		words += "; FROZEN: takes no transactions"
	}
	if st.Spare {
		words += "; SPARE: follows nobody while all other nodes have everything"
	}
	if st.Learner {
		words += "; LEARNER: no vote until it has caught up with a primary"
	}
	return words
}

// coordinatorText says how a node stands with its coordinator.
func coordinatorText(r *Coordinator) string {
	text := clean(text(r.Doing))
	if r.LeaseRemaining > 0 {
		text += fmt.Sprintf(", for %.1f s more", r.LeaseRemaining)
	}
	if r.Maintenance {
		text += ", maintenance"
	}
	return text
}

// Secondaries says how many there are.
func Secondaries(n int) string { return plural.Or(n, "secondary", "secondaries") }

// syncText names the secondaries that commits wait for.
func syncText(s *Sync) string {
	words := Secondaries(s.Required)
	if len(s.Names) > 0 {
		words = fmt.Sprintf("%d of %s", s.Required, clean(strings.Join(s.Names, ", ")))
	}
	if s.Degraded {
		words += "; DEGRADED: commits do not wait, since " + timeText(s.DegradedSince)
	}
	if s.Waiting > 0 {
		words += "; waiting now"
	}
	return words
}

func storageNotes(s *Storage) string {
	var notes []string
	if s.Magic != nil {
		notes = append(notes, *s.Magic)
	}
	if s.Attached {
		notes = append(notes, "attached")
	}
	switch {
	case s.Shared:
		notes = append(notes, "with shared blobs")
	case s.BlobCache != nil:
		notes = append(notes, fmt.Sprintf("with a blob cache: %s of %s", bytesText(&s.BlobCache.Bytes),
			bytesText(&s.BlobCache.Target)))
	case s.Blobs:
		notes = append(notes, "with blobs")
	}
	if b := s.BlobStore; b != nil {
		notes = append(notes, fmt.Sprintf("blobs in %s", b.Store))
		if b.Waiting > 0 {
			notes = append(notes, fmt.Sprintf("%d still to upload", b.Waiting))
		}
		if b.LastError != nil {
			notes = append(notes, "uploads fail: "+*b.LastError)
		}
		if c := b.Cleaning; c != nil && c.LastError != nil {
			notes = append(notes, "unneeded objects stay there: "+*c.LastError)
		}
	}
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, ", ") + ")"
}

func lagText(l *Lag) string {
	if l.Transactions == nil && l.Bytes == nil && l.Seconds == nil {
		return unknown
	}
	return fmt.Sprintf("%s transactions, %s, %s s", countText(l.Transactions), bytesText(l.Bytes),
		secondsText(l.Seconds))
}

func text(s *string) string {
	if s == nil {
		return unknown
	}
	return *s
}

func tidText(t *zodb.Tid) string {
	if t == nil {
		return unknown
	}
	return t.String()
}

func timeText(t *time.Time) string {
	if t == nil {
		return unknown
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func countText(n *int64) string {
	if n == nil {
		return unknown
	}
	return strconv.FormatInt(*n, 10)
}

func secondsText(s *float64) string {
	if s == nil {
		return unknown
	}
	return strconv.FormatFloat(*s, 'f', 1, 64)
}

// clean makes text from elsewhere harmless for a terminal and for the columns.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
