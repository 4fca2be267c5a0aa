package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
)

type healOptions struct {
	askFlags
	dry               bool
	rate              int64
	data, blobs, from string
	peer              peerFlags
	verbose           bool
}

const healHelp = `Verifies a copy, and replaces what is damaged in it by what another node has of the same history, byte
for byte. What was there is kept in the folder quarantine/ beside the Data.fs, with the reason. Only bytes
are taken that this node's own notes prove: the hash chain of its transactions, the checksums and digests
of earlier verifications.

ADDR is the --admin address of a running node, which asks the nodes that it is connected with. With --data
and --from it heals the files of a node that is not running, from the node with that replication address:
also a Data.fs that cannot be opened because of its damage.

Exits with 0 when nothing is damaged any more, with 1 when something is (with --dry-run: when something
was), with 3 when the file cannot be opened, with 4 when no node answers, with 6 when the node is healing or
verifying already.`

func healCommand() *cobra.Command {
	var opt healOptions
	cmd := &cobra.Command{
		Use: "heal ADDR|--data Data.fs --from ADDR [--blobs DIR] [--dry-run] [--rate BYTES] [--storage NAME] " +
			"[--json]",
		Short: "replace what is damaged in a copy by what another node has",
		Long:  healHelp,
		Example: "  zrsd heal 127.0.0.1:5001 --dry-run\n" +
			"  zrsd heal --data var/Data.fs --blobs var/blobs --from db2:5000",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			if err := opt.check(cmd, args); err != nil {
				return usage(err)
			}
			if opt.data != "" {
				return opt.files(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			req := admin.HealRequest{DryRun: opt.dry}
			if cmd.Flags().Changed("rate") {
				req.Rate = &opt.rate
			}
			return opt.node(ctx, args[0], req, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&opt.dry, "dry-run", false, "write nothing, say what would be done")
	pathVar(flags, &opt.data, "data", "`Data.fs` of a node that is not running")
	pathVar(flags, &opt.blobs, "blobs", "its blob `DIR`")
	flags.StringVar(&opt.from, "from", "", "admin or replication `ADDR` of the other node, for --data")
	opt.peer.register(flags, ", for --from")
	bytesVar(flags, &opt.rate, "rate", 0, "limit of `BYTES` read per second; 0 for none; default: the node's, or none")
	flags.BoolVar(&opt.verbose, "verbose", false, "log what happens to standard error, for --data")
	opt.register(flags)
	return cmd
}

// check reports what makes no sense together.
func (opt *healOptions) check(cmd *cobra.Command, args []string) error {
	switch {
	case opt.rate < 0:
		return fmt.Errorf("--rate %d: give a number of bytes per second, or 0 for no limit", opt.rate)
	case len(args) == 1 && opt.data != "":
		return errors.New("give the ADDR of a running node, or --data and --from, not both")
	case len(args) == 1:
		for _, name := range []string{"blobs", "from", "secret-file", "insecure-plain-text", "verbose"} {
			if cmd.Flags().Changed(name) {
				return fmt.Errorf("--%s: a running node knows that itself: leave it out", name)
			}
		}
		if !isNode(args[0]) {
			return fmt.Errorf("%s is not the address of a node: for files give --data %s --from ADDR", args[0], args[0])
		}
	case opt.data == "":
		return errors.New("give the --admin ADDR of a running node, or --data and --from")
	case opt.from == "":
		return errors.New("--from is missing: give the replication address of the node that has what is damaged")
	}
	return nil
}

// node has a running node heal its copy.
func (opt *healOptions) node(ctx context.Context, address string, req admin.HealRequest, out,
	terminal io.Writer) error {
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return err
	}
	tell, done := verifying(terminal)
	report, err := admin.AskHeal(ctx, dial, opt.storage, req, tell)
	done()
	switch {
	case ctx.Err() != nil:
		return coded(exitForced, errors.New("interrupted: the node gives up; what was healed until now stays so"))
	case err != nil:
		return asked("healing", addr, err)
	}
	return opt.result(out, report)
}

// result prints what was done, and gives it its exit code.
func (opt *healOptions) result(out io.Writer, report *heal.Report) error {
	if err := opt.print(out, report); err != nil {
		return err
	}
	if report.Damages > 0 || report.Dry && report.Found > report.Sound {
		return errFound
	}
	return nil
}

func (opt *healOptions) print(w io.Writer, r *heal.Report) error {
	if opt.json {
		return json.NewEncoder(w).Encode(r)
	}
	for i := range r.Items {
		if _, err := fmt.Fprintln(w, r.Items[i].String()); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, r.Text())
	return err
}

// files heals the files of a node that is not running.
func (opt *healOptions) files(ctx context.Context, out, terminal io.Writer) error {
	if opt.blobs != "" {
		if _, err := os.Stat(opt.blobs); err != nil { // where it is mistyped, all blobs would be fetched into it
			return cannotOpen(fmt.Errorf("blob directory: %w", err))
		}
	}
	addr, err := opt.tls.replication(ctx, "--from", opt.from)
	if err != nil {
		return err
	}
	dial, secret, err := opt.tls.peer(addr, opt.peer)
	if err != nil {
		return err
	}
	peer := heal.Peer{Name: opt.from, Ask: func(ctx context.Context) (*hashchain.Remote, error) {
		connect := func(ctx context.Context) (net.Conn, error) { return dial(ctx) }
		return hashchain.Dial(ctx, connect, secret, "zrsd heal")
	}}
	remote, err := peer.Ask(ctx)
	if err != nil {
		return notReached(fmt.Errorf("ask %s: %w", opt.from, err), "--replicate-to")
	}
	_ = remote.Close() // it was only tried
	f := &healedFiles{opt: opt, peer: peer, log: hclog.NewNullLogger(), bar: newProgress(terminal, "verifying")}
	if opt.verbose {
		f.log = hclog.New(&hclog.LoggerOptions{Name: "zrsd", Output: terminal})
	}
	report, err := f.run(ctx)
	f.bar.clear()
	if err != nil {
		return err
	}
	return opt.result(out, report)
}

// healedFiles are the files of a node that is not running.
type healedFiles struct {
	opt  *healOptions
	peer heal.Peer
	log  hclog.Logger
	bar  *progress
}

// maxClosed bounds how often a file is healed before it can be opened.
const maxClosed = 1000

// run heals what keeps the file from being opened, and then the rest.
func (f *healedFiles) run(ctx context.Context) (report *heal.Report, err error) {
	var blobs *blobstore.Store
	if f.opt.blobs != "" {
		if blobs, err = blobstore.Open(f.opt.blobs, blobstore.Options{ReadOnly: f.opt.dry}); err != nil {
			return nil, cannotOpen(err)
		}
	}
	report = &heal.Report{Path: f.opt.data, Dry: f.opt.dry, Items: []heal.Item{}}
	for range maxClosed {
		st, err := f.open(ctx, blobs)
		suspect, damaged := heal.SuspectOf(f.opt.data, err)
		if !damaged {
			if err != nil {
				return nil, cannotOpen(err)
			}
			rest, err := f.heal(ctx, st, blobs)
			if rest != nil {
				report.Merge(rest)
				report.Damages = rest.Damages
			}
			return report, errors.Join(err, st.Close())
		}
		one, err := f.closed(ctx, suspect)
		if err != nil {
			return nil, err
		}
		report.Merge(one)
		if one.Healed == 0 || f.opt.dry {
			report.Damages = 1
			return report, nil
		}
	}
	return report, nil
}

func (f *healedFiles) open(ctx context.Context, blobs *blobstore.Store) (*filestorage.Storage, error) {
	opt := filestorage.Options{MustExist: true, ReadOnly: f.opt.dry, Logger: f.log}
	if blobs != nil {
		opt.Blobs = blobs
	}
	return filestorage.Open(ctx, f.opt.data, opt)
}

func (f *healedFiles) options() heal.Options {
	return heal.Options{Path: f.opt.data, Dry: f.opt.dry, Peers: []heal.Peer{f.peer}, By: "zrsd heal", Logger: f.log,
		Kept: f.kept}
}

func (f *healedFiles) kept() (state.Chain, error) {
	s, err := state.Load(vfs.OS{}, f.opt.data)
	if err != nil {
		return state.Chain{}, err
	}
	return s.Chain, nil
}

// closed heals what keeps the file from being opened.
func (f *healedFiles) closed(ctx context.Context, s verify.Suspect) (*heal.Report, error) {
	file := &heal.ClosedFile{Path: f.opt.data, Logger: f.log}
	opt := f.options()
	opt.Target, opt.Boundary = file, file.Boundary
	return heal.Run(ctx, opt, []verify.Suspect{s})
}

// heal verifies and heals the open storage.
func (f *healedFiles) heal(ctx context.Context, st *filestorage.Storage, blobs *blobstore.Store) (*heal.Report, error) {
	opt := f.options()
	opt.Target, opt.Boundary = st, st.Boundary
	what := verify.Options{Path: f.opt.data, Committed: st.Size, Rate: f.opt.rate, Progress: f.bar.update,
		Dry: f.opt.dry}
	if blobs != nil {
		opt.Blobs, what.Blobs, what.BlobPath = blobs, blobs, f.opt.blobs
	}
	report, pass, err := heal.Rounds(ctx, f.opt.dry, func(ctx context.Context) (*verify.Pass, error) {
		return verify.Run(ctx, what)
	}, func(ctx context.Context, found []verify.Suspect) (*heal.Report, error) {
		return heal.Run(ctx, opt, found)
	})
	if report != nil && pass != nil {
		report.Damages = pass.Damages
	}
	return report, err
}
