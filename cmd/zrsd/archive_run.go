package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/priority"
	"github.com/zrsd/zrsd/protocol"
)

const archiveRunHelp = `Archives the storage of another node, over its replication address: it has no copy of its own
and serves no clients. It runs until it is stopped, and ends when another one writes to the archive, or when
that node must not. With --once it archives what there is and ends. The data file is read over the network
once when it starts, to prove that it is what the archive has.`

type archiveRunOptions struct {
	config   node.ArchiveConfig
	from     string
	peer     peerFlags
	once     bool
	tls      tlsFlags
	logLevel string
}

func archiveRunCommand() *cobra.Command {
	var opt archiveRunOptions
	cmd := &cobra.Command{
		Use:     "run URL --from ADDR [--once] [--archive-interval D] [--archive-recipients AGE,…]",
		Short:   "archive the storage of a node, beside it",
		Long:    archiveRunHelp,
		Example: "  zrsd archive run s3://backup/app --from db2:5000",
		Args:    arguments("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return opt.run(ctx, args[0], cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.from, "from", "", "admin or replication `ADDR` of the node")
	flags.BoolVar(&opt.once, "once", false, "archive what there is, and end")
	registerArchiveHow(flags, &opt.config)
	opt.peer.register(flags, "")
	flags.StringVar(&opt.logLevel, "log-level", "info", "`LEVEL` of what is logged to standard error")
	opt.tls.register(flags, "", "this node's")
	return cmd
}

func (opt *archiveRunOptions) run(ctx context.Context, url string, out io.Writer) error {
	if opt.from == "" {
		return usage(errors.New("--from is missing: give the replication address of the node to archive"))
	}
	opt.config.URL = url
	if err := opt.config.Check(); err != nil {
		return usage(err)
	}
	addr, err := opt.tls.replication(ctx, "--from", opt.from)
	if err != nil {
		return err
	}
	dial, secret, err := opt.tls.peer(addr, opt.peer)
	if err != nil {
		return err
	}
	log, err := node.OpenLog(node.LogOptions{Level: opt.logLevel})
	if err != nil {
		return usage(err)
	}
	src := archive.NewRemote(protocol.Dialer(dial), secret, "archive of "+opt.from)
	defer src.Close() //nolint:errcheck // it only read
	options, end, err := opt.config.Options(ctx, log.Logger)
	if err != nil {
		return cannotOpen(err)
	}
	defer end()
	w := archive.NewWriter(src, options)
	priority.LowerAll(priority.Background) // nobody is served here
	if !opt.once {
		return archiveError(w.Run(ctx, true))
	}
	if err := w.Once(ctx); err != nil {
		return archiveError(err)
	}
	st := w.Status(options.Now())
	_, err = fmt.Fprintf(
		out,
		"archived %s and %s, %d bytes; the archive is in generation %d\n",
		plural.Of(st.Segments, "segment"),
		plural.Of(st.Blobs, "blob"),
		st.Bytes+st.BlobBytes,
		st.Generation,
	)
	return err
}
