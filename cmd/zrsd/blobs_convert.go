package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/vfs"
)

const blobsConvertHelp = `Changes the layout of a blob directory: bushy has one folder for each byte of an oid,
lawn one for each object. Each blob gets its name in the new layout by a link, beside the old one; then the
marker .layout is replaced, and then the old names are removed. Nothing is copied, except where a file
system has no links and no server runs.

ADDR has a running node do it, while it serves clients. It keeps the old names, and gives new blobs both,
until it is called again with --finish: ZEO clients that share the blob directory (shared-blob-dir) read the
layout only when they start, and nobody can see who they are. So: convert, restart those clients, convert
with --finish. Where no client shares the directory, give --finish at once.

With Data.fs it takes the lock, as a server does, so no server may be running on it, and finishes; clients
that share the directory have to be restarted.

Interrupted at any step, the directory can be read as it was before, or as it is afterwards; call the command
again to go on, or with the old layout to go back.

Exits with 0 when all blobs have the layout, with 1 when files stayed that are no blobs, with 3 when
something cannot be opened, as when a server has the Data.fs, with 4 when the node does not answer.`

type blobsConvertOptions struct {
	askFlags
	blobs, to   string
	finish, dry bool
	rate        int
}

const defaultConvertRate = 1000 // blobs a second

func blobsConvertCommand() *cobra.Command {
	var opt blobsConvertOptions
	cmd := &cobra.Command{
		Use: "convert ADDR|Data.fs --to bushy|lawn [--blobs DIR] [--finish] [--rate N] [--dry-run] [--storage NAME] " +
			"[--json]",
		Short: "change the layout of a blob directory",
		Long:  blobsConvertHelp,
		Example: "  zrsd blobs convert 127.0.0.1:5001 --to bushy\n" +
			"  zrsd blobs convert 127.0.0.1:5001 --to bushy --finish\n" +
			"  zrsd blobs convert var/Data.fs --blobs var/blobs --to bushy",
		Args: arguments("ADDR|Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			if opt.to != blobstore.Bushy && opt.to != blobstore.Lawn {
				return usage(fmt.Errorf("--to %q: give bushy or lawn", opt.to))
			}
			if isNode(args[0]) {
				return opt.node(ctx, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if cmd.Flags().Changed("rate") || opt.finish || opt.storage != "" {
				return usage(errors.New("--rate, --finish and --storage are for a running node: give its address"))
			}
			return opt.files(ctx, vfs.CleanPath(args[0]), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &opt.blobs, "blobs", "blob `DIR` of the Data.fs")
	flags.StringVar(&opt.to, "to", "", "the new `LAYOUT`: bushy or lawn")
	flags.BoolVar(&opt.finish, "finish", false, "remove the old names: no ZEO client reads the directory by them")
	flags.IntVar(&opt.rate, "rate", defaultConvertRate, "have the node convert at most `N` blobs a second")
	flags.BoolVar(&opt.dry, "dry-run", false, "write nothing, say what would be done")
	opt.register(flags)
	flags.Lookup("json").Usage = "print a JSON object, see docs/commands-json.md"
	return cmd
}

// node has a running node convert.
func (opt *blobsConvertOptions) node(ctx context.Context, address string, out, terminal io.Writer) error {
	switch {
	case opt.blobs != "":
		return usage(errors.New("--blobs: a running node knows its directory itself: leave it out"))
	case opt.rate < 1:
		return usage(fmt.Errorf("--rate %d: give a number from 1", opt.rate))
	}
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return err
	}
	bar := newProgress(terminal, "converting")
	q := admin.ConvertQuery{To: opt.to, Finish: opt.finish, Dry: opt.dry, Rate: opt.rate}
	did, err := admin.AskConvert(ctx, dial, opt.storage, q, func(c blobstore.Conversion) { opt.show(bar, c) })
	bar.clear()
	if err != nil {
		return asked("conversion of the blob directory", addr, err)
	}
	return opt.end(out, addr.String(), did)
}

func (*blobsConvertOptions) show(bar *progress, c blobstore.Conversion) {
	did := c.Blobs + c.Removed
	if c.Total == 0 { // not known, as of an older node
		c.Total = 2 * c.Blobs
	}
	bar.update(did, max(c.Total, did)) // blobs may have come meanwhile
}

func (opt *blobsConvertOptions) files(ctx context.Context, path string, out, terminal io.Writer) (err error) {
	if opt.blobs == "" {
		return errNoBlobsFlag
	}
	if _, err := (vfs.OS{}).ReadDir(opt.blobs); err != nil {
		return cannotOpen(err)
	}
	blobs, err := blobstore.Open(opt.blobs, blobstore.Options{ReadOnly: opt.dry})
	if err != nil {
		return cannotOpen(err)
	}
	if opt.dry {
		would, err := blobs.WouldConvert(ctx, opt.to, false)
		if err != nil {
			return err
		}
		return opt.end(out, opt.blobs, would)
	}
	st, err := filestorage.Open(ctx, path, filestorage.Options{MustExist: true, Blobs: blobs})
	if locked := (*filestorage.LockError)(nil); errors.As(err, &locked) {
		err = fmt.Errorf("%w, or have a running node convert: give its admin address in place of the Data.fs", err)
	}
	if err != nil {
		return cannotOpen(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	bar := newProgress(terminal, "converting")
	did, err := blobs.Convert(ctx, opt.to, func(c blobstore.Conversion) { opt.show(bar, c) })
	bar.clear()
	if err != nil {
		return fmt.Errorf("%w: the directory can be read; call the command again to go on", err)
	}
	return opt.end(out, opt.blobs, did)
}

// end prints what was done, or would be.
func (opt *blobsConvertOptions) end(out io.Writer, where string, c *blobstore.Conversion) error {
	if err := opt.print(out, where, c); err != nil {
		return err
	}
	if c.Left > 0 {
		return errFound
	}
	return nil
}

func (opt *blobsConvertOptions) print(out io.Writer, where string, c *blobstore.Conversion) error {
	if opt.json {
		return json.NewEncoder(out).Encode(c)
	}
	verb := "has"
	if opt.dry {
		verb = "would have"
	}
	_, err := fmt.Fprintf(out, "%s, which was %s, %s the layout %s: %s with %d bytes, %s removed, %s left\n",
		where, c.From, verb, c.To, plural.Of(c.Blobs, "blob"), c.Bytes, plural.Of(c.Removed, "old name"),
		plural.Of(c.Left, "file"))
	if err == nil && c.OldNames && !opt.dry {
		_, err = fmt.Fprintf(out, "blobs keep their names in both layouts: restart all ZEO clients that share the "+
			"blob directory, then call this again with --finish; go back with --to %s\n", otherLayout(c.To))
	}
	return err
}

func otherLayout(layout string) string {
	if layout == blobstore.Bushy {
		return blobstore.Lawn
	}
	return blobstore.Bushy
}
