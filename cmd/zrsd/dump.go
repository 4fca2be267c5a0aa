package main

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/dump"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

type dumpOptions struct {
	json     bool
	blobs    string
	from, to string
}

const dumpHelp = `Shows the contents of the file, with offsets, up to the first damage. Changes nothing, takes no
lock, and can be run beside a server. A TID is 16 hexadecimal digits, as it is printed.`

func dumpCommand() *cobra.Command {
	var opt dumpOptions
	cmd := &cobra.Command{
		Use:     "dump Data.fs [--blobs DIR] [--from TID] [--to TID] [--json]",
		Short:   "show the transactions and records of a data file",
		Long:    dumpHelp,
		Example: "  zrsd dump var/Data.fs --from 03f8658010000000 --json",
		Args:    arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), vfs.CleanPath(args[0]), cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&opt.json, "json", false, "print one JSON object per line, see docs/operations.md")
	pathVar(cmd.Flags(), &opt.blobs, "blobs", "blob `DIR`, to show which blob files exist")
	cmd.Flags().StringVar(&opt.from, "from", "", "first `TID` to show")
	cmd.Flags().StringVar(&opt.to, "to", "", "last `TID` to show")
	return cmd
}

func (opt dumpOptions) run(ctx context.Context, path string, w io.Writer) error {
	what := dump.Options{FS: vfs.OS{}, Path: path}
	var err error
	if what.From, err = optionalTid("--from", opt.from); err != nil {
		return err
	}
	if what.To, err = optionalTid("--to", opt.to); err != nil {
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

func optionalTid(flag, s string) (zodb.Tid, error) {
	if s == "" {
		return 0, nil
	}
	tid, err := zodb.ParseTid(s)
	return tid, flagError(flag, err)
}
