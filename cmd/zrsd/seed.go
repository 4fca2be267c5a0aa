package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/priority"
)

const seedHelp = `Makes Data.fs, and the blob directory, a copy of those of the node with the replication address ADDR,
which may be a primary or a secondary, and ends when it has everything that this node had at the
beginning. What is there already is kept if it is the beginning of the same history. Data.fs is taken
as it is, in large parts. An interrupted seed is resumed by the next call, or by zrsd secondary, which
does the same by itself and then stays. With several ADDR the copy is that of the first one that answers,
and the others give parts at the same time, where they are the same: the digest of each part is the first one's.

With --from-files DIR, a folder with another copy of that node's Data.fs and blobs (a backup that was
restored, an rsync, a copy of the files of a running server), only digests are fetched of what is right
there, and bytes of the rest. DIR is only read: no identity, state or index comes from it.`

type seedCommandOptions struct {
	config  node.SecondaryConfig
	from    string
	files   string
	timeout time.Duration
	tls     tlsFlags
	verbose bool
}

func seedCommand() *cobra.Command {
	opt := seedCommandOptions{timeout: time.Minute}
	cmd := &cobra.Command{
		Use:     "seed --from ADDR[,ADDR] --data Data.fs [--blobs DIR] [--from-files DIR]",
		Short:   "copy a node's storage, without staying its secondary",
		Long:    seedHelp,
		Example: "  zrsd seed --from db1:5000 --data copy/Data.fs --blobs copy/blobs",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opt.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.from, "from", "",
		"admin or replication `ADDR[,ADDR]` of the node, and of others that have the same")
	pathVar(flags, &opt.config.Data, "data", "the `Data.fs`")
	pathVar(flags, &opt.config.Blobs, "blobs", "the blob `DIR`")
	pathVar(flags, &opt.files, "from-files", "`DIR` with another copy of that node's files, of which is taken what is "+
		"right")
	flags.StringVar(&opt.config.Name, "name", "", "`NAME` of this copy for that node; default: its host and data file")
	flags.BoolVar(&opt.config.SeedCompress, "compress", false, "have the node compress what it sends: for a thin line")
	flags.DurationVar(&opt.timeout, "timeout", opt.timeout, "how long to try while nothing comes")
	flags.BoolVar(&opt.verbose, "verbose", false, "log what happens to standard error")
	flags.StringVar(&opt.config.SecretFile, "secret-file", "", "`FILE` with the shared secret of the replication")
	flags.BoolVar(&opt.config.InsecurePlainText, "insecure-plain-text", false, "talk to another machine without "+
		"encryption")
	opt.tls.register(flags, "", "this node's")
	return cmd
}

func (opt *seedCommandOptions) run(ctx context.Context, out, terminal io.Writer) error {
	switch {
	case opt.from == "":
		return usage(errors.New("--from is missing: give the replication address of the node to copy"))
	case opt.timeout <= 0:
		return usage(fmt.Errorf("--timeout %v: give a duration above zero, such as 60s", opt.timeout))
	}
	list, err := opt.tls.replications(ctx, "--from", opt.from)
	if err != nil {
		return err
	}
	c := opt.config
	c.ReplicateFrom, c.TLS = list, opt.tls.files()
	if len(list) > 1 {
		c.SeedFrom = list
	}
	c.Heartbeat, c.DrainTimeout = node.DefaultHeartbeat, node.DefaultDrainTimeout
	c.MaxSecondaries, c.SeedThreshold = node.DefaultMaxSecondaries, 1
	c.ReadyLag, c.MaxRecord = node.DefaultReadyLag, node.DefaultMaxRecord
	c.Logger = hclog.NewNullLogger()
	if opt.verbose {
		log, err := node.OpenLog(node.LogOptions{Level: "info"})
		if err != nil {
			return err
		}
		c.Logger = log.Logger
	}
	if opt.files != "" {
		end, err := opt.openCopy(&c)
		if err != nil {
			return err
		}
		defer end()
	}
	priority.LowerAll(priority.Background) // nobody is served here, and others may be on this machine
	bar := newProgress(terminal, "seed")
	var last node.SeedReport
	begun := time.Now()
	err = node.Seed(ctx, c, opt.timeout, func(r node.SeedReport) {
		last = r
		bar.update(r.Size, r.Total)
	})
	bar.clear()
	if unreachable, _ := node.Unreachable(err); unreachable {
		return coded(exitUnreachable, err)
	}
	if err != nil {
		return fmt.Errorf("seed of %s from %s: %w", c.Data, opt.from, err)
	}
	copied := ""
	if c.SeedCopy != nil {
		copied = fmt.Sprintf("; %d bytes of the data file and the blobs came from %s", c.SeedCopy.Taken(), opt.files)
	}
	_, err = fmt.Fprintf(out, "%s has everything up to transaction %v, %d bytes, after %v%s\n", c.Data, last.Last,
		last.Size, time.Since(begun).Round(time.Millisecond), copied)
	return err
}
