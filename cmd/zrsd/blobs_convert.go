package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

const blobsConvertHelp = `Changes the layout of a blob directory: bushy has one folder for each byte of an oid,
lawn one for each object. Each blob gets its name in the new layout by a link, beside the old one; then the
marker .layout is replaced, and then the old names are removed. Nothing is copied, except where a file
system has no links.

It takes the lock of the Data.fs, as a server does, so no server may be running on it. Interrupted at any
step, the directory can be read as it was before, or as it is afterwards; call the command again to go on, or
with the old layout to go back.

Exits with 0 when all blobs have the layout, with 1 when files stayed that are no blobs, with 3 when
something cannot be opened, as when a server has the Data.fs.`

type blobsConvertOptions struct {
	blobs, to string
	dry, json bool
}

func blobsConvertCommand() *cobra.Command {
	var opt blobsConvertOptions
	cmd := &cobra.Command{
		Use:     "convert Data.fs --blobs DIR --to bushy|lawn [--dry-run] [--json]",
		Short:   "change the layout of a blob directory",
		Long:    blobsConvertHelp,
		Example: "  zrsd blobs convert var/Data.fs --blobs var/blobs --to bushy",
		Args:    arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return opt.run(ctx, vfs.CleanPath(args[0]), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &opt.blobs, "blobs", "blob `DIR` of the Data.fs")
	flags.StringVar(&opt.to, "to", "", "the new `LAYOUT`: bushy or lawn")
	flags.BoolVar(&opt.dry, "dry-run", false, "write nothing, say what would be done")
	flags.BoolVar(&opt.json, "json", false, "print a JSON object, see docs/commands-json.md")
	return cmd
}

func (opt *blobsConvertOptions) run(ctx context.Context, path string, out, terminal io.Writer) (err error) {
	switch {
	case opt.blobs == "":
		return errNoBlobsFlag
	case opt.to != blobstore.Bushy && opt.to != blobstore.Lawn:
		return usage(fmt.Errorf("--to %q: give bushy or lawn", opt.to))
	}
	if _, err := (vfs.OS{}).ReadDir(opt.blobs); err != nil {
		return cannotOpen(err)
	}
	blobs, err := blobstore.Open(opt.blobs, blobstore.Options{ReadOnly: opt.dry})
	if err != nil {
		return cannotOpen(err)
	}
	if opt.dry {
		return opt.wouldDo(blobs, out)
	}
	st, err := filestorage.Open(ctx, path, filestorage.Options{MustExist: true, Blobs: blobs})
	if err != nil {
		return cannotOpen(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	bar := newProgress(terminal, "converting")
	did, err := blobs.Convert(ctx, opt.to, func(c blobstore.Conversion) { bar.update(c.Blobs+c.Removed, 2*c.Blobs) })
	bar.clear()
	if err != nil {
		return fmt.Errorf("%w: the directory can be read; call the command again to go on", err)
	}
	if err := opt.print(out, did, "has"); err != nil {
		return err
	}
	if did.Left > 0 {
		return errFound
	}
	return nil
}

func (opt *blobsConvertOptions) wouldDo(blobs *blobstore.Store, out io.Writer) error {
	would := &blobstore.Conversion{From: blobs.Layout(), To: opt.to}
	if would.From != would.To {
		err := blobs.Walk(func(_ zodb.Oid, _ zodb.Tid, size int64, _ string) error {
			would.Blobs++
			would.Bytes += size
			return nil
		})
		if err != nil {
			return err
		}
	}
	return opt.print(out, would, "would have")
}

func (opt *blobsConvertOptions) print(out io.Writer, c *blobstore.Conversion, verb string) error {
	if opt.json {
		return json.NewEncoder(out).Encode(c)
	}
	_, err := fmt.Fprintf(out, "%s, which was %s, %s the layout %s: %d blobs with %d bytes, %d old names removed, "+
		"%d files left\n", opt.blobs, c.From, verb, c.To, c.Blobs, c.Bytes, c.Removed, c.Left)
	return err
}
