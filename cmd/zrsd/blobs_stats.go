package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

const blobsStatsHelp = `Counts the blobs of a Data.fs that have a file in the blob directory, and their bytes: by age,
by size, by the class of the object that refers to the blob, and how many of them the next pack removes.
Changes nothing, takes no lock, and can be run beside a server.

--pack-days says how many days of history that pack leaves; 0: it packs to this moment. --pack-gc=false: it
does not drop what cannot be reached from the root.

Exits with 3 when a file cannot be opened, with 6 when a pack has replaced the Data.fs meanwhile.`

type blobsStatsOptions struct {
	blobs string
	days  int
	gc    bool
	limit int
	json  bool
}

func blobsStatsCommand() *cobra.Command {
	var opt blobsStatsOptions
	cmd := &cobra.Command{
		Use:   "stats Data.fs --blobs DIR [--pack-days N] [--pack-gc=false] [--limit N] [--json]",
		Short: "count blobs by age, size and owner, and what a pack would remove",
		Long:  blobsStatsHelp,
		Example: "  zrsd blobs stats var/Data.fs --blobs var/blobs\n" +
			"  zrsd blobs stats var/Data.fs --blobs var/blobs --pack-days 30 --json",
		Args: arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return opt.run(ctx, vfs.CleanPath(args[0]), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &opt.blobs, "blobs", "blob `DIR` of the Data.fs")
	flags.IntVar(&opt.days, "pack-days", 1, "count what a pack removes that leaves `N` days of history")
	flags.BoolVar(&opt.gc, "pack-gc", true, "count what a pack removes that drops unreachable objects")
	flags.IntVarP(&opt.limit, "limit", "n", 20, "list at most `N` classes")
	flags.BoolVar(&opt.json, "json", false, "print a JSON object, see docs/commands-json.md")
	return cmd
}

func (opt *blobsStatsOptions) run(ctx context.Context, path string, out, terminal io.Writer) (err error) {
	switch {
	case opt.blobs == "":
		return errNoBlobsFlag
	case opt.days < 0 || opt.limit < 1:
		return usage(errors.New("--pack-days and --limit: give a number from 0, and one from 1"))
	}
	bar := newProgress(terminal, "counting")
	defer bar.clear()
	st, err := filestorage.Open(ctx, path, filestorage.Options{ReadOnly: true, MustExist: true, Progress: bar.update})
	if err != nil {
		return asOpenError(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	survey, err := inside.Take(ctx, st, inside.Options{Progress: bar.update})
	if err != nil {
		return asOpenError(err)
	}
	what := blobtools.StatsOptions{Path: path, Now: time.Now(), Progress: bar.update, Owner: owner(survey)}
	if what.Blobs, err = openBlobs(opt.blobs); err != nil {
		return err
	}
	until, err := zodb.TidFromTime(what.Now.AddDate(0, 0, -opt.days))
	if err != nil {
		return usage(fmt.Errorf("--pack-days %d: %w", opt.days, err))
	}
	what.Dropped = func(ctx context.Context, drop func(zodb.Oid, zodb.Tid)) error {
		progress := func(p filestorage.PackProgress) { bar.update(p.Done, p.Total) }
		return st.PlannedPack(ctx, until, filestorage.PackOptions{GC: opt.gc, Progress: progress}, drop)
	}
	stats, err := blobtools.CountBlobs(ctx, what)
	bar.clear()
	if err != nil {
		return blobsError(err)
	}
	if opt.json {
		return writeJSON(out, stats)
	}
	return opt.print(out, stats)
}

// owner returns the class of what refers to a blob.
func owner(survey *inside.Survey) func(zodb.Oid) string {
	return func(oid zodb.Oid) string {
		if class, ok := survey.Referrer(oid); ok {
			return class
		}
		return "(not reached from the root)"
	}
}

func (opt *blobsStatsOptions) print(w io.Writer, s *blobtools.Stats) error {
	var t insideText
	t.line("%s with %s (%s), up to transaction %v", s.Path, s.Dir, s.Layout, s.LastTid)
	t.line("%10s %16s", "blobs", "bytes")
	row := func(name string, c blobtools.Count) { t.line("%10d %16d  %s", c.Blobs, c.Bytes, printable.Line(name)) }
	row("all that are here", s.All)
	row("of these: last revisions of their objects", s.Current)
	row(fmt.Sprintf("of these: the next pack removes them (leaving days of history: %d)", opt.days), *s.Pack)
	row("files that no revision has: zrsd blobs audit", s.Unowned)
	if s.NotHere > 0 {
		t.line("%10d %16s  are not here: zrsd blobs audit", s.NotHere, "")
	}
	for _, part := range []struct {
		title  string
		shares []blobtools.Share
	}{{"by age", s.Ages}, {"by size", s.Sizes}, {"by the class of the owner", s.Owners}} {
		t.line("%s:", part.title)
		for _, share := range part.shares[:min(len(part.shares), opt.limit)] {
			row(share.Name, share.Count)
		}
		t.more(int64(len(part.shares)), min(len(part.shares), opt.limit), "    ")
	}
	_, err := w.Write(t.text)
	return err
}
