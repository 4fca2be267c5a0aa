package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
)

type verifyOptions struct {
	askFlags
	once, allBlobs bool
	blobs          string
	peer           peerFlags
	peers          []string
	rate           int64
	reclaim        time.Duration
}

const verifyHelp = `Reads a whole copy and looks whether it is still what it was: structure, back pointers, references
and the saved index, the content of all transactions against the checkpoints of their hash chain, all
bytes against the checksums that the pass before has noted, blobs against their size and digest, and the
history against those of other nodes. It changes nothing but such notes, in files of its own beside the
Data.fs, and removes temporary files of zrsd that are older than --reclaim-age.

ADDR is the --admin address of a running node, which verifies its storage; it does so by itself, too:
see --verify-interval. A Data.fs is verified by this command, beside a server or without one, and
compared with the nodes that --peer names, by their replication addresses.

Exits with 0 when there is no damage (there may be warnings, and nodes that do not answer), with 1 when
there is damage or a difference, with 3 when the file cannot be opened, with 5 when it could not be read
to its end, with 6 when the node is verifying already.`

func verifyCommand() *cobra.Command {
	var opt verifyOptions
	cmd := &cobra.Command{
		Use: "verify --once ADDR|Data.fs [--blobs DIR] [--all-blobs] [--peer ADDR[,ADDR]] [--rate BYTES] " +
			"[--storage NAME] [--json]",
		Short: "look whether a copy is still what it was, and what others have",
		Long:  verifyHelp,
		Example: "  zrsd verify --once 127.0.0.1:5001\n" +
			"  zrsd verify --once var/Data.fs --blobs var/blobs --peer db2:5000",
		Args: arguments("ADDR|Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			if opt.rate < 0 {
				return usage(fmt.Errorf("--rate %d: give a number of bytes per second, or 0 for no limit", opt.rate))
			}
			if !isNode(args[0]) {
				return opt.file(ctx, vfs.CleanPath(args[0]), cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			for _, name := range []string{"blobs", "peer", "secret-file", "insecure-plain-text", "reclaim-age"} {
				if cmd.Flags().Changed(name) {
					return usage(fmt.Errorf("--%s: a running node knows that itself: leave it out", name))
				}
			}
			req := admin.VerifyRequest{AllBlobs: opt.allBlobs}
			if cmd.Flags().Changed("rate") {
				req.Rate = &opt.rate
			}
			return opt.node(ctx, args[0], req, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&opt.once, "once", true, "one pass, now")
	pathVar(flags, &opt.blobs, "blobs", "blob `DIR` of the Data.fs")
	flags.BoolVar(&opt.allBlobs, "all-blobs", false, "read all blobs, also those that were read not long ago")
	flags.StringSliceVar(&opt.peers, "peer", nil, "`ADDR[,ADDR]` of other nodes to compare a Data.fs with")
	opt.peer.register(flags, ", for --peer")
	bytesVar(flags, &opt.rate, "rate", 0, "limit of `BYTES` read per second; 0 for none; default: the node's, or none")
	flags.DurationVar(&opt.reclaim, "reclaim-age", verify.DefaultReclaimAge,
		"how old temporary files of zrsd must be to be removed; 0 for never")
	opt.register(flags)
	return cmd
}

// node has a running node make a pass.
func (opt *verifyOptions) node(ctx context.Context, address string, req admin.VerifyRequest, out, terminal io.Writer) (
	err error) {
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return err
	}
	tell, done := verifying(terminal)
	pass, err := admin.AskVerify(ctx, dial, opt.storage, req, tell)
	done()
	switch {
	case ctx.Err() != nil:
		return coded(exitForced, errors.New("interrupted: the node gives the verification up"))
	case err != nil:
		return asked("verification", addr, err)
	}
	if err := opt.print(out, pass); err != nil {
		return err
	}
	return passed(pass)
}

// verifying shows how far the verification of a running node is, until done is called.
func verifying(terminal io.Writer) (tell func(line []byte, p *admin.VerifyProgress) error, done func()) {
	bar := newProgress(terminal, "verifying")
	return func(_ []byte, p *admin.VerifyProgress) error {
		if p != nil {
			bar.update(p.Done, p.Total)
		}
		return nil
	}, bar.clear
}

// file makes one pass over a data file.
func (opt *verifyOptions) file(ctx context.Context, path string, stdout, stderr io.Writer) error {
	bar := newProgress(stderr, "verifying")
	what := verify.Options{Path: path, Rate: opt.rate, Progress: bar.update, BlobPath: opt.blobs,
		BlobAge: 4 * verify.DefaultReclaimAge, ReclaimAge: opt.reclaim}
	if opt.allBlobs {
		what.BlobAge = 0
	}
	blobs, err := openBlobs(opt.blobs)
	if err != nil {
		return err
	}
	if blobs != nil {
		what.Blobs = blobs
		if what.Partial, err = blobs.Partial(); err != nil {
			return cannotOpen(err)
		}
	}
	if what.Peers, err = opt.others(ctx); err != nil {
		return err
	}
	pass, err := verify.Run(ctx, what)
	bar.clear()
	if err != nil && ctx.Err() == nil && pass.Transactions == 0 && pass.Damages == 0 {
		return asOpenError(err)
	}
	if err := opt.print(stdout, pass); err != nil {
		return err
	}
	return passed(pass)
}

// others are the nodes that --peer names.
func (opt *verifyOptions) others(ctx context.Context) (peers []verify.Peer, err error) {
	for _, address := range opt.peers {
		addr, err := opt.tls.replication(ctx, "--peer", address)
		if err != nil {
			return nil, err
		}
		dial, secret, err := opt.tls.peer(addr, opt.peer)
		if err != nil {
			return nil, err
		}
		peers = append(peers, verify.Peer{Name: address, Ask: func(ctx context.Context, count *atomic.Int64) (
			verify.Remote, error) {
			return hashchain.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
				conn, err := dial(ctx)
				if err != nil {
					return nil, err
				}
				return verify.Counted(conn, count), nil
			}, secret, "zrsd verify")
		}})
	}
	return peers, nil
}

// passed gives the result of a pass its exit code.
func passed(pass *verify.Pass) error {
	switch {
	case pass.Damages > 0:
		return errFound
	case pass.Error != nil:
		return coded(exitFailed, errors.New(*pass.Error))
	}
	return nil
}

func (opt *verifyOptions) print(w io.Writer, pass *verify.Pass) error {
	if opt.json {
		return json.NewEncoder(w).Encode(pass)
	}
	for i := range pass.Findings {
		if _, err := fmt.Fprintln(w, pass.Findings[i].String()); err != nil {
			return err
		}
	}
	if listed := int64(len(pass.Findings)); listed < pass.Damages+pass.Warnings {
		if _, err := fmt.Fprintf(w, "and %d more\n", pass.Damages+pass.Warnings-listed); err != nil {
			return err
		}
	}
	for name, why := range pass.FailureNodes {
		if _, err := fmt.Fprintf(w, "node %s: %s\n", name, why); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, pass.Text())
	return err
}
