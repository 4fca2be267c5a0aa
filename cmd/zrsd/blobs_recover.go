package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
)

const blobsRecoverHelp = `Brings back blobs that are missing, from the blob caches of ZEO clients, other blob
directories, backups, or other nodes: --from DIR or ADDR, as often as needed. A file is taken where the Data.fs has a
blob of that object and transaction which has no file. Its content must be what a verification of this
node or of another one has noted, or, where nothing was noted, the same in all files of that name. Nothing
is ever replaced, and nothing in the sources is changed. Downloads that were interrupted and empty files
are taken only with such a note.

It can be run beside a server, as the user of that server, and be called again at any time.

Exits with 0 when no blob is missing any more, with 1 when some are, with 3 when something cannot be opened.`

type blobsRecoverOptions struct {
	blobs     string
	peer      peerFlags
	from      []string
	dry, json bool
	tls       tlsFlags
}

func blobsRecoverCommand() *cobra.Command {
	var opt blobsRecoverOptions
	cmd := &cobra.Command{
		Use:   "recover Data.fs --blobs DIR --from DIR|ADDR [--from …] [--dry-run] [--json]",
		Short: "bring back missing blobs from client caches, copies and other nodes",
		Long:  blobsRecoverHelp,
		Example: "  zrsd blobs recover var/Data.fs --blobs var/blobs --from /srv/client1/blob-cache --dry-run\n" +
			"  zrsd blobs recover var/Data.fs --blobs var/blobs --from /backup/blobs --from db2:5000",
		Args: arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return opt.run(ctx, vfs.CleanPath(args[0]), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &opt.blobs, "blobs", "blob `DIR` of the Data.fs")
	flags.StringArrayVar(&opt.from, "from", nil, "`DIR|ADDR` with blobs: a folder, or the replication or admin "+
		"address of another node")
	flags.BoolVar(&opt.dry, "dry-run", false, "write nothing, say what would be done")
	flags.BoolVar(&opt.json, "json", false, "print one JSON object per line, see docs/commands-json.md")
	opt.peer.register(flags, ", for --from ADDR")
	opt.tls.register(flags, "", "this side's")
	return cmd
}

func (opt *blobsRecoverOptions) run(ctx context.Context, path string, out, terminal io.Writer) error {
	switch {
	case opt.blobs == "":
		return errNoBlobsFlag
	case len(opt.from) == 0:
		return usage(errors.New("--from is missing: name a folder with blobs, or another node"))
	}
	blobs, err := openRecovered(opt.blobs)
	if err != nil {
		return err
	}
	bar := newProgress(terminal, "reading")
	what := blobtools.RecoverOptions{Path: path, Blobs: blobs, DryRun: opt.dry, Progress: bar.update,
		Noted: verify.NotedBlobs(vfs.OS{}, path).Of}
	what.Heal = heal.Options{Logger: hclog.NewNullLogger(), MaxBlob: protocol.Limits{}.WithDefaults().MaxBlob,
		Kept: func() (state.Chain, error) {
			s, err := state.Load(vfs.OS{}, path)
			if err != nil {
				return state.Chain{}, err
			}
			return s.Chain, nil
		}}
	what.Report = func(item *blobtools.Recovered) error {
		bar.clear()
		return opt.item(out, item)
	}
	what.Warn = func(err error) {
		bar.clear()
		_, _ = fmt.Fprintf(terminal, "warning: %v\n", err) // there is no other place
	}
	if err := opt.sources(ctx, &what); err != nil {
		return err
	}
	sum, err := blobtools.RecoverBlobs(ctx, what)
	bar.clear()
	if err != nil {
		return blobsError(err)
	}
	if err := opt.summary(out, sum); err != nil {
		return err
	}
	if sum.Left > 0 {
		return errFound
	}
	return nil
}

// openRecovered opens a blob directory that is there: one that is not would be made, and everything put into it.
func openRecovered(dir string) (*blobstore.Store, error) {
	if _, err := (vfs.OS{}).ReadDir(dir); err != nil {
		return nil, cannotOpen(err)
	}
	blobs, err := blobstore.Open(dir, blobstore.Options{})
	return blobs, cannotOpen(err)
}

// sources sorts what --from names into folders and nodes.
func (opt *blobsRecoverOptions) sources(ctx context.Context, what *blobtools.RecoverOptions) error {
	for _, from := range opt.from {
		if !isNode(from) {
			what.From = append(what.From, vfs.CleanPath(from))
			continue
		}
		addr, err := opt.tls.replication(ctx, "--from", from)
		if err != nil {
			return err
		}
		dial, secret, err := opt.tls.peer(addr, opt.peer)
		if err != nil {
			return err
		}
		ask := func(ctx context.Context) (*hashchain.Remote, error) {
			connect := func(ctx context.Context) (net.Conn, error) { return dial(ctx) }
			return hashchain.Dial(ctx, connect, secret, "zrsd blobs recover")
		}
		what.Peers = append(what.Peers, heal.Peer{Name: from, Ask: ask})
	}
	return nil
}

func (opt *blobsRecoverOptions) item(w io.Writer, r *blobtools.Recovered) error {
	if opt.json {
		return json.NewEncoder(w).Encode(map[string]*blobtools.Recovered{"blob": r})
	}
	_, err := fmt.Fprintln(w, r)
	return err
}

func (opt *blobsRecoverOptions) summary(w io.Writer, s *blobtools.RecoverSummary) error {
	if opt.json {
		return json.NewEncoder(w).Encode(map[string]*blobtools.RecoverSummary{"summary": s})
	}
	_, err := fmt.Fprintln(w, s)
	return err
}
