package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/priority"
	"github.com/zrsd/zrsd/zodb"
)

const archiveRestoreHelp = `Makes a data file, its blobs and its state file as they were at a moment, byte for byte,
verified by the digests of the archive to the last byte. Nothing that is there is overwritten. A call that
was interrupted is gone on with by the next one; with --to latest that is for the same moment as
before.

--to is a TID, a TIME, or latest. ` + momentHelp + `

The result is a copy of the storage: another node, without a vote, that never leads by itself. Start it
with zrsd secondary, and it goes on from where it ends; docs/backup.md has the other cases.`

type archiveRestoreOptions struct {
	archiveFlags
	to, data, blobs string
	noBlobs         bool
	generation      uint64
}

func archiveRestoreCommand() *cobra.Command {
	var opt archiveRestoreOptions
	cmd := &cobra.Command{
		Use: "restore URL [--to TID|TIME|latest] --data Data.fs [--blobs DIR|--no-blobs] [--generation N] " +
			"[--identity FILE] [--json]",
		Short: "restore a storage as it was at a moment",
		Long:  archiveRestoreHelp,
		Example: "  zrsd archive restore s3://backup/app --data new/Data.fs --blobs new/blobs\n" +
			"  zrsd archive restore s3://backup/app --to \"2026-11-28 14:05\" --data new/Data.fs --blobs new/blobs",
		Args: arguments("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return opt.run(ctx, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.to, "to", "latest", "`MOMENT`: a tid, a time, or latest")
	pathVar(flags, &opt.data, "data", "the `Data.fs` to make")
	pathVar(flags, &opt.blobs, "blobs", "the blob `DIR` to make")
	flags.BoolVar(&opt.noBlobs, "no-blobs", false, "leave blobs out")
	flags.Uint64Var(
		&opt.generation,
		"generation",
		0,
		"from generation `N`, complete or not; default: the one that led to "+
			"the present",
	)
	opt.register(flags, true)
	return cmd
}

func (opt *archiveRestoreOptions) run(ctx context.Context, url string, out, terminal io.Writer) error {
	switch {
	case opt.data == "":
		return usage(errors.New("--data is missing: name the Data.fs to make"))
	case opt.blobs == "" && !opt.noBlobs:
		return usage(errors.New("--blobs is missing: name the blob directory to make, or give --no-blobs"))
	case opt.blobs != "" && opt.noBlobs:
		return usage(errors.New("--blobs and --no-blobs: leave out one of them"))
	}
	tid, exact := archive.Latest, false
	if opt.to != "latest" {
		var err error
		if tid, err = moment.ParseFixed(opt.to, time.Local, true); err != nil {
			return usage(fmt.Errorf("--to: %w", err))
		}
		_, failed := zodb.ParseTid(opt.to)
		exact = failed == nil
	}
	a, end, err := opt.open(ctx, url)
	if err != nil {
		return err
	}
	defer end()
	m, err := opt.moment(ctx, a, tid, exact)
	if err != nil {
		return archiveError(err)
	}
	if err := emptyFolder(opt.data); err != nil {
		return cannotOpen(err)
	}
	priority.LowerAll(priority.Background) // others may be on this machine
	begun := time.Now()
	bar := newProgress(terminal, "restore")
	r, err := m.Restore(ctx, archive.RestoreOptions{
		Data: opt.data, Blobs: opt.blobs, AtOnce: opt.atOnce,
		Tell: func(r archive.RestoreReport) { bar.update(r.Done, r.Size) },
	})
	bar.clear()
	if err != nil {
		return archiveError(fmt.Errorf("restore of %s from %s: %w", opt.data, a, err))
	}
	return opt.print(out, r, func(out io.Writer) error {
		_, err := fmt.Fprintf(
			out,
			"%s has everything up to transaction %v (%s) of generation %d, %d bytes, and %s, after %v\n",
			opt.data,
			r.Tid,
			r.Tid.Time().UTC().Format(archiveTime),
			r.Generation,
			r.Size,
			plural.Of(r.Blobs, "blob"),
			time.Since(begun).Round(time.Millisecond),
		)
		if err == nil && r.Missing > 0 {
			_, err = fmt.Fprintf(out, "%s are not in the archive: the nodes that wrote it did not have them\n",
				plural.Of(r.Missing, "blob"))
		}
		return err
	})
}

// moment is what is restored: what an interrupted call has begun, where no other moment was asked for.
func (opt *archiveRestoreOptions) moment(ctx context.Context, a *archive.Archive, tid zodb.Tid, exact bool) (
	*archive.Moment, error) {
	if tid == archive.Latest && opt.generation == 0 {
		if m, err := a.Unfinished(ctx, nil, opt.data); m != nil || err != nil {
			return m, err
		}
	}
	if opt.generation != 0 {
		return a.MomentOf(ctx, opt.generation, tid, exact)
	}
	return a.Moment(ctx, tid, exact)
}

const archiveVerifyHelp = `Reads everything once from which moments are restored, and recomputes all digests: what it
finds nothing wrong with can be restored byte for byte. It needs no room on a disk. Without the identity of an
encrypted archive it verifies what is stored, and says so.

What it has found is kept in the archive: nodes that write to it show when it was verified last, and warn when that
is long ago or something is wrong. --no-record leaves that out, for credentials that only read.

Exits with 1 when something is wrong, or nothing could be restored.`

func archiveVerifyCommand() *cobra.Command {
	var opt archiveFlags
	var stamp string
	var noRecord bool
	cmd := &cobra.Command{
		Use:     "verify URL [--identity FILE] [--no-record] [--stamp FILE] [--rate BYTES] [--json]",
		Short:   "prove that everything can be restored from an archive",
		Long:    archiveVerifyHelp,
		Example: "  zrsd archive verify s3://backup/app --rate 50000000",
		Args:    arguments("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			a, end, err := opt.open(ctx, args[0])
			if err != nil {
				return err
			}
			defer end()
			begun := time.Now()
			bar := newProgress(cmd.ErrOrStderr(), "verify")
			r, err := a.Verify(ctx, opt.atOnce, func(r *archive.VerifyReport) { bar.update(r.Bytes+r.BlobBytes, -1) })
			bar.clear()
			if err != nil {
				return archiveError(err)
			}
			if err := opt.print(
				cmd.OutOrStdout(),
				r,
				func(out io.Writer) error { return printVerified(out, r) },
			); err != nil {
				return err
			}
			if !noRecord {
				if err := a.Record(ctx, r, hostName(), begun, time.Now()); err != nil {
					return archiveError(fmt.Errorf("%w; credentials that only read need --no-record", err))
				}
			}
			switch {
			case len(r.Problems) > 0:
				return coded(exitFound, errTold)
			case stamp != "" && !r.Encrypted:
				return archive.WriteStamp(stamp, r, begun)
			}
			return nil
		},
	}
	opt.register(cmd.Flags(), true)
	cmd.Flags().BoolVar(&noRecord, "no-record", false, "keep nothing in the archive of what was found")
	pathVar(
		cmd.Flags(),
		&stamp,
		"stamp",
		"`FILE` that gets when this verification began, if it reads all and finds nothing wrong, in the text "+
			"format of Prometheus, for the textfile collector of its node exporter",
	)
	return cmd
}

func printVerified(out io.Writer, r *archive.VerifyReport) error {
	for _, text := range r.Problems {
		if _, err := fmt.Fprintln(out, "damage:", text); err != nil {
			return err
		}
	}
	if len(r.Incomplete) > 0 {
		if _, err := fmt.Fprintf(out, "not complete: generations %s\n", list(r.Incomplete)); err != nil {
			return err
		}
	}
	what := "everything can be restored"
	switch {
	case len(r.Problems) > 0:
		what = plural.Of(len(r.Problems), "problem")
	case r.Encrypted:
		what = "what is stored is as it was written; contents are encrypted, and were not read: give --identity"
	}
	_, err := fmt.Fprintf(
		out,
		"%s: %s, %s, %d bytes, %s of %d bytes\n",
		what,
		plural.Of(len(r.Generations), "generation"),
		plural.Of(r.Segments, "segment"),
		r.Bytes,
		plural.Of(r.Blobs, "blob"),
		r.BlobBytes,
	)
	if err == nil && r.Missing > 0 {
		_, err = fmt.Fprintf(out, "warning: %s were missing on the nodes, and are in the archive as missing\n",
			plural.Of(r.Missing, "blob"))
	}
	return err
}

const archivePruneHelp = `Deletes what no moment needs that is kept: whole generations, their last segments, and blobs
that nothing refers to. The generation from which the present is restored always stays, and what is being
written. What the store does not delete, as under an object lock, is counted and tried again by the next
call. --dry-run says what would be deleted.`

func archivePruneCommand() *cobra.Command {
	var opt archiveFlags
	var dryRun bool
	keep := archive.DefaultKeep
	cmd := &cobra.Command{
		Use: "prune URL [--keep-every D] [--keep-daily N] [--keep-weekly N] [--keep-monthly N] " +
			"[--keep-generations N] [--dry-run] [--json]",
		Short:   "delete from an archive what is not kept any more",
		Long:    archivePruneHelp,
		Example: "  zrsd archive prune s3://backup/app --keep-every 168h --keep-daily 90 --dry-run",
		Args:    arguments("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			if err := keep.Check(); err != nil {
				return usage(err)
			}
			a, end, err := opt.open(ctx, args[0])
			if err != nil {
				return err
			}
			defer end()
			r, err := a.Prune(ctx, archive.PruneOptions{Keep: keep, DryRun: dryRun, Now: time.Now()})
			if err != nil {
				return archiveError(err)
			}
			return opt.print(cmd.OutOrStdout(), r, func(out io.Writer) error { return printPruned(out, r) })
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.DurationVar(&keep.Every, "keep-every", keep.Every, "every transaction that is younger than `D`")
	flags.IntVar(&keep.Daily, "keep-daily", keep.Daily, "the last moment of each of `N` days")
	flags.IntVar(&keep.Weekly, "keep-weekly", keep.Weekly, "the last moment of each of `N` weeks")
	flags.IntVar(&keep.Monthly, "keep-monthly", keep.Monthly, "the last moment of each of `N` months")
	flags.IntVar(
		&keep.Generations,
		"keep-generations",
		keep.Generations,
		"all moments of the `N` newest complete generations",
	)
	flags.BoolVar(&dryRun, "dry-run", false, "only say what would be deleted")
	opt.register(flags, false)
	return cmd
}

func printPruned(out io.Writer, r *archive.PruneReport) error {
	did := "deleted"
	if r.DryRun {
		did = "would delete"
	}
	_, err := fmt.Fprintf(out, "%s %s, %s and %s, %d bytes\n", did,
		plural.Of(len(r.Generations), "generation"), plural.Of(r.Segments, "segment"),
		plural.Of(r.Blobs, "blob"), r.Bytes)
	if err == nil && r.Refused > 0 {
		_, err = fmt.Fprintf(out, "the store keeps %s, which the next call tries again: %s\n",
			plural.Of(r.Refused, "object"), *r.FirstError)
	}
	return err
}
