package admin

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/zrsd/zrsd/internal/plural"
)

// doings are the activities of clients in words.
var doings = map[string]string{
	"connecting": "connecting",
	"idle":       "idle",
	"buffering":  "buffering a transaction",
	"waiting":    "waiting for the commit lock",
	"voting":     "voting, with the commit lock",
	"holding":    "voted, holding the commit lock",
	"uploading":  "uploading a blob",
	"packing":    "packing",
}

// WriteClients writes a table of ZEO connections for people.
func WriteClients(w io.Writer, list []Client) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no clients")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "ADDRESS\tLABEL\tSTORAGE\tPROTOCOL\tMODE\tCONNECTED SINCE\tDOING\tOUTBOX\tLOADS\tSTORES\tCOMMITS")
	for i := range list {
		c := &list[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", clean(text(c.Address)), clean(text(c.Label)),
			clean(text(c.Storage)), clean(text(c.Protocol)), modeOf(c), timeText(&c.Since), doingText(c),
			bytesText(&c.Outbox), c.Loads, c.Stores, c.Commits)
	}
	return tw.Flush() // returns what went wrong above
}

func modeOf(c *Client) string {
	if c.ReadOnly {
		return "reader"
	}
	return "writer"
}

func doingText(c *Client) string {
	words, known := doings[c.Doing]
	if !known { // of a newer server
		words = clean(c.Doing)
	}
	if c.DoingSince == nil {
		return words
	}
	return words + " since " + timeText(c.DoingSince)
}

// WriteUndoLog writes a table of transactions for people.
func WriteUndoLog(w io.Writer, list []UndoEntry) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no transaction of that kind can be undone")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "TIME\tTID\tUNDO ID\tSIZE\tUSER\tDESCRIPTION")
	for i := range list {
		e := &list[i]
		fmt.Fprintf(tw, "%s\t%v\t%s\t%s\t%s\t%s\n", timeText(&e.Time), e.Tid, clean(e.ID), bytesText(&e.Size),
			brief(e.User, 40), brief(e.Description, 100))
	}
	return tw.Flush() // as above
}

// brief returns as much of a text as a column has room for.
func brief(s string, limit int) string {
	if r := []rune(clean(s)); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return clean(s)
}

// WritePackResult says for people what a pack did.
func WritePackResult(w io.Writer, r *PackResult) error {
	if !r.Packed {
		_, err := fmt.Fprintf(w, "nothing to drop: the file stays as it is, with %s\n", bytesText(&r.After))
		return err
	}
	_, err := fmt.Fprintf(w, "packed in %.1f s: %s before, %s after, %s, %s dropped; commits waited %.3f s\n",
		r.Duration, bytesText(&r.Before), bytesText(&r.After), plural.Of(r.Objects, "object"),
		plural.Of(r.Blobs, "blob"), r.Pause)
	return err
}

// WriteChange writes what became of a change of roles, for people, after its steps.
func WriteChange(w io.Writer, c *Change) error {
	for _, warning := range c.Warnings {
		if _, err := fmt.Fprintln(w, "warning:", clean(warning)); err != nil {
			return err
		}
	}
	last := "no transaction"
	if c.LastTid != nil {
		last = fmt.Sprintf("last transaction %v", *c.LastTid)
	}
	done := "done"
	if !c.Done {
		done = "nothing was changed; then it would be done"
	}
	if c.Pause != nil {
		last += fmt.Sprintf("; commits were held for %.0f ms", *c.Pause*1000)
	}
	_, err := fmt.Fprintf(w, "%s: %s, epoch %d, %s\n", done, c.Role, c.Epoch, last)
	return err
}
