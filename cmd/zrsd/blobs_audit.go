package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs"
)

const blobsAuditHelp = `Compares the files of a blob directory with the records of its Data.fs: blobs that are
missing, files that no revision has or that cannot be of this storage, empty blobs, wrong modes and owners,
what interrupted uploads have left, the layout marker. Each with its object, and the transaction that wrote it.
Changes nothing, takes no lock, and can be run beside a server, or by a running node: ADDR.
Blobs that a blob cache has evicted are not missing when somebody else has them: a node asks the others
and its object store, and --store has the command look there.

Exits with 0 when every blob can be read (there may be warnings), with 1 when one cannot, with 3 when a
file cannot be opened, with 4 when the node does not answer.`

type blobsAuditOptions struct {
	askFlags
	blobs string
	store string
	shown map[blobtools.Kind]int
}

// maxShown is how many findings of a kind are shown to people: after a careless copy each of a million files has a
// wrong mode.
const maxShown = 100

func blobsAuditCommand() *cobra.Command {
	opt := blobsAuditOptions{shown: map[blobtools.Kind]int{}}
	cmd := &cobra.Command{
		Use:   "audit ADDR|Data.fs [--blobs DIR] [--store URL] [--storage NAME] [--json]",
		Short: "look for blobs that are missing, and files that do not belong there",
		Long:  blobsAuditHelp,
		Example: "  zrsd blobs audit var/Data.fs --blobs var/blobs\n" +
			"  zrsd blobs audit 127.0.0.1:5001 --json",
		Args: arguments("ADDR|Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return opt.run(ctx, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &opt.blobs, "blobs", "blob `DIR` of the Data.fs")
	flags.StringVar(&opt.store, "store", "", "`URL` of the object store that has blobs, too")
	opt.register(flags)
	return cmd
}

func (opt *blobsAuditOptions) run(ctx context.Context, where string, out, terminal io.Writer) error {
	bar := newProgress(terminal, "auditing")
	found := func(f *blobtools.Finding) error {
		bar.clear()
		return opt.finding(out, f)
	}
	ask := opt.files
	if isNode(where) {
		ask = opt.node
	}
	sum, err := ask(ctx, where, found, bar)
	bar.clear()
	if err != nil {
		return err
	}
	if err := opt.summary(out, sum); err != nil {
		return err
	}
	if sum.Damages > 0 {
		return errFound
	}
	return nil
}

func (opt *blobsAuditOptions) node(ctx context.Context, address string, found func(*blobtools.Finding) error,
	bar *progress) (*blobtools.Summary, error) {
	if opt.blobs != "" || opt.store != "" {
		return nil, usage(errors.New("--blobs and --store: a running node knows them itself: leave them out"))
	}
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	sum, err := admin.AskAudit(ctx, dial, opt.storage, found,
		func(p admin.VerifyProgress) { bar.update(p.Done, p.Total) })
	return sum, asked("audit of the blobs", addr, err)
}

func (opt *blobsAuditOptions) files(ctx context.Context, path string, found func(*blobtools.Finding) error,
	bar *progress) (sum *blobtools.Summary, err error) {
	if opt.blobs == "" {
		return nil, errNoBlobsFlag
	}
	what := blobtools.AuditOptions{Path: vfs.CleanPath(path), Report: found, Progress: bar.update}
	if what.Blobs, err = openBlobs(opt.blobs); err != nil {
		return nil, err
	}
	if opt.store != "" {
		store, err := objectstore.Open(ctx, opt.store, objectstore.Options{})
		if err != nil {
			return nil, storeError(err)
		}
		defer store.Close() //nolint:errcheck // only read
		what.Store = blobcache.Objects{Store: store}
	}
	sum, err = blobtools.Audit(ctx, what)
	return sum, blobsError(err)
}

// errNoBlobsFlag says what is missing.
var errNoBlobsFlag = usage(errors.New("--blobs is missing: name the blob directory of the Data.fs"))

// blobsError gives what went wrong with files its exit code.
func blobsError(err error) error {
	if errors.Is(err, blobtools.ErrPacked) {
		return coded(exitNotNow, err)
	}
	return asOpenError(err)
}

func (opt *blobsAuditOptions) finding(w io.Writer, f *blobtools.Finding) error {
	if opt.json {
		return json.NewEncoder(w).Encode(map[string]*blobtools.Finding{"finding": f})
	}
	if f.Severity == blobtools.Note {
		return nil // the summary counts them
	}
	if opt.shown[f.Kind]++; opt.shown[f.Kind] > maxShown {
		return nil
	}
	_, err := fmt.Fprintln(w, f)
	return err
}

func (opt *blobsAuditOptions) summary(w io.Writer, s *blobtools.Summary) error {
	if opt.json {
		return json.NewEncoder(w).Encode(map[string]*blobtools.Summary{"summary": s})
	}
	for kind, n := range opt.shown {
		if n > maxShown {
			if _, err := fmt.Fprintf(w, "%d more of the kind %s: --json shows all\n", n-maxShown, kind); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintln(w, s)
	return err
}
