package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

const diffHelp = `Lists the objects that differ between two moments, with class and path from the root. A moment is
a TID, a TIME such as "2026-01-31 14:05", "4h ago", or latest. A day alone is its beginning as FROM, and its end as TO.

  created  new           there was no such object
           reachable     it was there, but the root did not lead to it
  changed  written       its record has other bytes
  deleted  unreachable   its record is still there, but the root does not lead to it any more
           empty-record  its record is empty, by an undo of its creation or by deleteObject

` + insideHelp + `
It is read twice, up to each of the moments; both must be later than the last pack.

Exit code 0: the two moments are equal, 1: they differ.`

type diffOptions struct {
	json bool
	inside.DiffOptions
	oids []string
}

func diffCommand() *cobra.Command {
	var opt diffOptions
	cmd := &cobra.Command{
		Use:   "diff Data.fs FROM TO [--class CLASS]… [--oid OID]… [--states] [--json]",
		Short: "list the objects that differ between two moments",
		Long:  diffHelp,
		Example: "  zrsd diff var/Data.fs \"4h ago\" latest\n" +
			"  zrsd diff var/Data.fs 2026-01-31 2026-01-31 --class 'plone.app.contenttypes.*' --states",
		Args: arguments("Data.fs", "FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opt.read(args[1], args[2]); err != nil {
				return err
			}
			return opt.run(cmd, vfs.CleanPath(args[0]))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVar((*[]string)(&opt.Classes), "class", nil, "`CLASS` as module.name, with * for any text: only "+
		"objects of these, at one of the moments")
	flags.StringSliceVar(&opt.oids, "oid", nil, "only this `OID`")
	flags.BoolVar(&opt.States, "states", false, "with what differs in the states, decoded; with --json: both states")
	flags.BoolVar(&opt.json, "json", false, "print a JSON object for each object, see docs/reports.md")
	return cmd
}

// read reads what the command line says.
func (opt *diffOptions) read(from, to string) (err error) {
	if opt.From, err = momentArgument("FROM", from, false); err != nil {
		return err
	}
	if opt.To, err = momentArgument("TO", to, true); err != nil {
		return err
	}
	if opt.From > opt.To {
		return usage(fmt.Errorf("FROM %s is later than TO %s: give the earlier moment first", from, to))
	}
	for _, text := range opt.oids {
		oid, ok := oidIn(text)
		if !ok {
			return usage(fmt.Errorf("%.40q is no oid: give 16 hexadecimal digits, or 0x and fewer", text))
		}
		opt.Oids = append(opt.Oids, oid)
	}
	if err := opt.Classes.Check(); err != nil {
		return usage(err)
	}
	return nil
}

// momentArgument reads a moment as the tid of the last transaction that may be in it. end: a day alone is its end.
func momentArgument(name, text string, end bool) (tid zodb.Tid, err error) {
	if text == "latest" {
		return zodb.MaxTid, nil
	}
	if _, wrong := time.Parse(time.DateOnly, text); wrong == nil {
		tid, err = moment.ParseFixed(text, time.Local, end)
	} else {
		var spec moment.Spec
		if spec, err = moment.Parse(text, time.Local); err == nil {
			tid, _, err = spec.At(time.Now())
		}
	}
	if err != nil {
		return 0, usage(fmt.Errorf("%s: %w", name, err))
	}
	return tid, nil
}

func (opt *diffOptions) run(cmd *cobra.Command, path string) error {
	out := cmd.OutOrStdout()
	bar := newProgress(cmd.ErrOrStderr(), "reading")
	opt.Progress = bar.update
	sum, err := inside.Diff(cmd.Context(), path, opt.DiffOptions, func(c *inside.ObjectChange) error {
		bar.clear()
		if opt.json {
			return json.NewEncoder(out).Encode(struct {
				Object *inside.ObjectChange `json:"object"`
			}{c})
		}
		return writeChange(out, c)
	})
	bar.clear()
	if err != nil {
		return asOpenError(err)
	}
	if err := opt.summary(out, sum); err != nil {
		return err
	}
	if sum.Created+sum.Changed+sum.Deleted > 0 {
		return errFound
	}
	return nil
}

func (opt *diffOptions) summary(out io.Writer, sum *inside.DiffSummary) error {
	if opt.json {
		return json.NewEncoder(out).Encode(struct {
			Summary *inside.DiffSummary `json:"summary"`
		}{sum})
	}
	var t insideText
	t.line("from %s to %s: %d created, %d changed, %d deleted; %d written without a change", momentText(&sum.From),
		momentText(&sum.To), sum.Created, sum.Changed, sum.Deleted, sum.Rewritten)
	if n := max(sum.From.Unread, sum.To.Unread); n > 0 {
		t.line("%s cannot be read (zrsd refs lists them): what only they refer to counts as unreachable",
			plural.Of(n, "record"))
	}
	_, err := out.Write(t.text)
	return err
}

func momentText(m *inside.DiffMoment) string {
	if m.Tid == 0 {
		return "before the first transaction"
	}
	return fmt.Sprintf("transaction %v (%s)", m.Tid, m.Tid.Stamp())
}

// shownValue is how much is printed of a value.
const shownValue = 200

func writeChange(out io.Writer, c *inside.ObjectChange) error {
	var t insideText
	v := c.To
	if v == nil || c.Change == inside.Deleted {
		v = c.From
	}
	path := "(not reached from the root)"
	if v.Path != nil {
		path = *v.Path
	}
	t.line("%s (%s) %v %s at %s, of transaction %v (%s)", c.Change, c.Why, c.Oid, v.Class, path, v.Tid, v.Tid.Stamp())
	if c.From != nil && c.To != nil && c.From.Class != c.To.Class {
		t.line("    class: %s, was %s", c.To.Class, c.From.Class)
	}
	if c.From != nil && c.To != nil && c.From.Path != nil && c.To.Path != nil && *c.From.Path != *c.To.Path {
		t.line("    path: %s, was %s", *c.To.Path, *c.From.Path)
	}
	t.states(c)
	_, err := out.Write(t.text)
	return err
}

// states prints what differs, where states were asked for.
func (t *insideText) states(c *inside.ObjectChange) {
	for _, d := range c.Differences() {
		from, to := d.Values()
		t.line("    %s: %s → %s", d.Name, printable.Short(from, shownValue), printable.Short(to, shownValue))
	}
	for _, v := range []*inside.Version{c.From, c.To} {
		if v != nil && v.Error != "" {
			t.line("    no state of transaction %v: %s", v.Tid, v.Error)
		}
	}
}
