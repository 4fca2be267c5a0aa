package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/export"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/vfs"
)

const exportHelp = `Writes the objects in Data.fs, as they were at a moment, into tables for DuckDB, SQLite or pandas:
one for each class, with a row for each object and the attributes of its state in columns. Entries of
BTrees, PersistentMapping and PersistentList are rows. Which columns and types: see docs/reports.md.

  jsonl    OUT is a folder, with a file of JSON lines for each class
  parquet  OUT is a folder, with a Parquet file for each class
  sqlite   OUT is a file

OUT is there when all of it is on the disk; until then it is called OUT.zrsd-new. Objects that the root
does not lead to, such as what was deleted and not packed yet, are left out but for --all.

` + insideHelp + `
It is read once for an overview, then each record twice.

Exit code 1: there are records that cannot be read; they have no row.`

type exportOptions struct {
	json bool
	asOf string
	export.Options
}

func exportCommand() *cobra.Command {
	var opt exportOptions
	cmd := &cobra.Command{
		Use: "export Data.fs -o OUT [--format jsonl|sqlite|parquet] [--as-of MOMENT] [--class CLASS]… [--paths] " +
			"[--all] [--force] [--json]",
		Short: "write the objects of a moment into tables for reports",
		Long:  exportHelp,
		Example: "  zrsd export var/Data.fs -o site.sqlite --format sqlite --as-of yesterday --paths\n" +
			"  zrsd export var/Data.fs -o site --format parquet --class 'plone.app.contenttypes.*'",
		Args: arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd, vfs.CleanPath(args[0]))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.VarP(pathFlag{&opt.Output}, "output", "o", "`OUT`, a folder or a file, which must not exist")
	flags.StringVar(&opt.Format, "format", export.Formats[0], "`FORMAT`: "+strings.Join(export.Formats, ", "))
	flags.StringVar(&opt.asOf, "as-of", "latest", "the `MOMENT`: a TID, a TIME, yesterday, \"4h ago\" or latest")
	flags.StringSliceVar((*[]string)(&opt.Classes), "class", nil, "`CLASS` as module.name, with * for any text: only "+
		"objects of these")
	flags.BoolVar(&opt.Paths, "paths", false, "with the path of each object from the root")
	flags.BoolVar(&opt.All, "all", false, "also objects that the root does not lead to")
	flags.BoolVar(&opt.Force, "force", false, "replace an earlier export at OUT")
	flags.BoolVar(&opt.json, "json", false, "print what was written as JSON, see docs/reports.md")
	return cmd
}

func (opt *exportOptions) run(cmd *cobra.Command, path string) (err error) {
	switch {
	case opt.Output == "":
		return usage(errors.New("--output is missing: give the name of a folder or a file that does not exist"))
	case !slices.Contains(export.Formats, opt.Format):
		return usage(fmt.Errorf("--format %.40q: it is one of %s", opt.Format, strings.Join(export.Formats, ", ")))
	}
	if err := opt.Classes.Check(); err != nil {
		return usage(err)
	}
	if opt.At, err = momentArgument("--as-of", opt.asOf, false); err != nil {
		return err
	}
	ctx, stop := untilStopped(cmd.Context())
	defer stop()
	bar := newProgress(cmd.ErrOrStderr(), "reading")
	opt.Progress = bar.update
	sum, err := export.Export(ctx, path, opt.Options)
	bar.clear()
	var exists *export.ExistsError
	switch {
	case errors.As(err, &exists):
		return usage(err)
	case err != nil:
		return asOpenError(err)
	}
	if err := opt.print(cmd.OutOrStdout(), sum); err != nil {
		return err
	}
	if sum.UnreadAll > 0 {
		return errFound
	}
	return nil
}

func (opt *exportOptions) print(out io.Writer, sum *export.Summary) error {
	if opt.json {
		return writeJSON(out, sum)
	}
	var t insideText
	for _, table := range sum.Tables {
		t.line("%10d rows %6d columns  %s", table.Rows, len(table.Columns), table.Name)
	}
	for _, u := range sum.Unread {
		t.line("UNREADABLE: object %v %s: %s", u.Oid, u.Class, u.Why)
	}
	if rest := sum.UnreadAll - int64(len(sum.Unread)); rest > 0 {
		t.line("… and %s", plural.Of(rest, "more unreadable object"))
	}
	t.line("%s: %s in %s, as of transaction %v (%s)", opt.Output, plural.Of(sum.Objects, "object"),
		plural.Of(len(sum.Tables), "table"), sum.Tid, sum.Tid.Stamp())
	_, err := out.Write(t.text)
	return err
}
