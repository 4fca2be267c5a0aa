package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/dump"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

type dumpOptions struct {
	json     bool
	paths    bool
	blobs    string
	from, to string
}

const dumpHelp = `Shows the contents of the file, with offsets, up to the first damage. Changes nothing, takes no
lock, and can be run beside a server. --paths reads all references first, and needs a file without
damage: it shows where objects are, as the root leads to them at the end of the file.

` + momentHelp

func dumpCommand() *cobra.Command {
	var opt dumpOptions
	cmd := &cobra.Command{
		Use:   "dump Data.fs [--blobs DIR] [--from TID|TIME] [--to TID|TIME] [--paths] [--json]",
		Short: "show the transactions and records of a data file",
		Long:  dumpHelp,
		Example: "  zrsd dump var/Data.fs --from 03f8658010000000 --json\n" +
			"  zrsd dump var/Data.fs --from 2026-01-31 --to 2026-01-31",
		Args: arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), vfs.CleanPath(args[0]), cmd.OutOrStdout(),
				newProgress(cmd.ErrOrStderr(), "reading"))
		},
	}
	cmd.Flags().BoolVar(&opt.json, "json", false, "print one JSON object per line, see docs/operations.md")
	cmd.Flags().BoolVar(&opt.paths, "paths", false, "show by which paths objects are reached")
	pathVar(cmd.Flags(), &opt.blobs, "blobs", "blob `DIR`, to show which blob files exist")
	cmd.Flags().StringVar(&opt.from, "from", "", "first transaction to show: `TID|TIME`")
	cmd.Flags().StringVar(&opt.to, "to", "", "last transaction to show: `TID|TIME`")
	return cmd
}

func (opt dumpOptions) run(ctx context.Context, path string, w io.Writer, bar *progress) (err error) {
	what := dump.Options{FS: vfs.OS{}, Path: path}
	if what.From, err = optionalMoment("--from", opt.from, false); err != nil {
		return err
	}
	if what.To, err = optionalMoment("--to", opt.to, true); err != nil {
		return err
	}
	if what.To != 0 && what.From > what.To {
		return usage(fmt.Errorf("--from %s is after --to %s: there is nothing between them; give the earlier one to "+
			"--from", opt.from, opt.to))
	}
	blobs, err := openBlobs(opt.blobs)
	if err != nil {
		return err
	}
	if blobs != nil {
		what.BlobSize = blobs.Stat
	}
	if opt.paths {
		s, err := inside.OpenSurvey(ctx, path, zodb.MaxTid, inside.Options{Progress: bar.update})
		bar.clear()
		if err != nil {
			return asOpenError(err)
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		what.PathOf = func(oid zodb.Oid) string { return pathText(s.Path(oid)) }
	}
	out := bufio.NewWriter(w)
	printer := dump.Text(out)
	if opt.json {
		printer = dump.JSON(out)
	}
	err = dump.Run(ctx, what, printer)
	return errors.Join(asOpenError(err), out.Flush())
}
