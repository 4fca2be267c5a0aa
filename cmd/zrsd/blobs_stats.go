package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/vfs"
)

const blobsStatsHelp = `Counts the blobs of a Data.fs that have a file in the blob directory, and their bytes: by age,
by size, by the class of the object that refers to the blob, and how many of them the next pack removes.
Changes nothing, takes no lock, and can be run beside a server, or by a running node: ADDR.

--pack-days says how many days of history that pack leaves; 0: it packs to this moment. --pack-gc=false: it
does not drop what cannot be reached from the root.

Exits with 3 when a file cannot be opened, with 4 when the node does not answer, with 6 when a pack has
replaced the Data.fs meanwhile.`

type blobsStatsOptions struct {
	askFlags
	blobs string
	days  int
	gc    bool
	limit int
}

func blobsStatsCommand() *cobra.Command {
	var opt blobsStatsOptions
	cmd := &cobra.Command{
		Use:   "stats ADDR|Data.fs [--blobs DIR] [--pack-days N] [--pack-gc=false] [--limit N] [--json]",
		Short: "count blobs by age, size and owner, and what a pack would remove",
		Long:  blobsStatsHelp,
		Example: "  zrsd blobs stats var/Data.fs --blobs var/blobs\n" +
			"  zrsd blobs stats 127.0.0.1:5001 --pack-days 30 --json",
		Args: arguments("ADDR|Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return opt.run(ctx, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &opt.blobs, "blobs", "blob `DIR` of the Data.fs")
	flags.IntVar(&opt.days, "pack-days", 1, "count what a pack removes that leaves `N` days of history")
	flags.BoolVar(&opt.gc, "pack-gc", true, "count what a pack removes that drops unreachable objects")
	flags.IntVarP(&opt.limit, "limit", "n", 20, "list at most `N` classes")
	opt.register(flags)
	flags.Lookup("json").Usage = "print a JSON object, see docs/commands-json.md"
	return cmd
}

func (opt *blobsStatsOptions) run(ctx context.Context, where string, out, terminal io.Writer) error {
	if opt.days < 0 || opt.limit < 1 {
		return usage(errors.New("--pack-days and --limit: give a number from 0, and one from 1"))
	}
	bar := newProgress(terminal, "counting")
	ask := opt.files
	if isNode(where) {
		ask = opt.node
	}
	stats, err := ask(ctx, where, bar)
	bar.clear()
	if err != nil {
		return err
	}
	if opt.json {
		return writeJSON(out, stats)
	}
	return opt.print(out, stats)
}

func (opt *blobsStatsOptions) query() admin.StatsQuery {
	return admin.StatsQuery{Days: opt.days, GC: opt.gc}
}

func (opt *blobsStatsOptions) node(ctx context.Context, address string, bar *progress) (*blobtools.Stats, error) {
	if opt.blobs != "" {
		return nil, usage(errors.New("--blobs: a running node knows its directory itself: leave it out"))
	}
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	stats, err := admin.AskStats(ctx, dial, opt.storage, opt.query(),
		func(p admin.VerifyProgress) { bar.update(p.Done, p.Total) })
	return stats, asked("count of the blobs", addr, err)
}

func (opt *blobsStatsOptions) files(ctx context.Context, path string, bar *progress) (*blobtools.Stats, error) {
	if opt.blobs == "" {
		return nil, errNoBlobsFlag
	}
	blobs, err := openBlobs(opt.blobs)
	if err != nil {
		return nil, err
	}
	stats, err := node.CountBlobs(ctx, node.BlobCounting{Data: vfs.CleanPath(path), Blobs: blobs, Query: opt.query(),
		Progress: bar.update, Logger: hclog.NewNullLogger()})
	var refused *admin.Refusal
	if errors.As(err, &refused) {
		return nil, usage(err)
	}
	return stats, blobsError(err)
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
