package main

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/dump"
	"github.com/zrsd/zrsd/internal/vfs"
)

type dumpOptions struct {
	json     bool
	blobs    string
	from, to string
}

const dumpHelp = `Shows the contents of the file, with offsets, up to the first damage. Changes nothing, takes no
lock, and can be run beside a server.

` + momentHelp

func dumpCommand() *cobra.Command {
	var opt dumpOptions
	cmd := &cobra.Command{
		Use:   "dump Data.fs [--blobs DIR] [--from TID|TIME] [--to TID|TIME] [--json]",
		Short: "show the transactions and records of a data file",
		Long:  dumpHelp,
		Example: "  zrsd dump var/Data.fs --from 03f8658010000000 --json\n" +
			"  zrsd dump var/Data.fs --from 2026-01-31 --to 2026-01-31",
		Args: arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), vfs.CleanPath(args[0]), cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&opt.json, "json", false, "print one JSON object per line, see docs/operations.md")
	pathVar(cmd.Flags(), &opt.blobs, "blobs", "blob `DIR`, to show which blob files exist")
	cmd.Flags().StringVar(&opt.from, "from", "", "first transaction to show: `TID|TIME`")
	cmd.Flags().StringVar(&opt.to, "to", "", "last transaction to show: `TID|TIME`")
	return cmd
}

func (opt dumpOptions) run(ctx context.Context, path string, w io.Writer) error {
	what := dump.Options{FS: vfs.OS{}, Path: path}
	var err error
	if what.From, err = optionalMoment("--from", opt.from, false); err != nil {
		return err
	}
	if what.To, err = optionalMoment("--to", opt.to, true); err != nil {
		return err
	}
	blobs, err := openBlobs(opt.blobs)
	if err != nil {
		return err
	}
	if blobs != nil {
		what.BlobSize = blobs.Stat
	}
	out := bufio.NewWriter(w)
	printer := dump.Text(out)
	if opt.json {
		printer = dump.JSON(out)
	}
	err = dump.Run(ctx, what, printer)
	return errors.Join(asOpenError(err), out.Flush())
}
