package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/objectstore"
)

const archiveHelp = `An archive has the history of a storage as it was committed, continuously, and makes files of it
again as they were at any moment. A node writes it with --archive URL, or zrsd archive run does for one.

URL is a folder (file:///backup/app, or a path), s3://bucket/folder, gs://bucket/folder or
azblob://container/folder. Credentials are those of the environment, as the provider's own tools take
them. docs/backup.md says what to run for which fear.`

func archiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "archive COMMAND URL",
		Short: "write, verify, restore and prune a continuous archive",
		Long:  archiveHelp,
		Example: "  zrsd archive list s3://backup/app\n" +
			"  zrsd archive restore s3://backup/app --to 2026-11-28 --data new/Data.fs --blobs new/blobs",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("there is no command %q: see zrsd archive --help", args[0]))
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(archiveRunCommand(), archiveListCommand(), archiveVerifyCommand(), archiveRestoreCommand(),
		archivePruneCommand(), archiveAllowCommand())
	return cmd
}

// archiveFlags say how an archive is reached.
type archiveFlags struct {
	identity string
	rate     int64
	atOnce   int
	json     bool
}

func (f *archiveFlags) register(flags *pflag.FlagSet, reads bool) {
	flags.SortFlags = false
	if reads {
		pathVar(flags, &f.identity, "identity", "`FILE` with age identities, for an archive that is encrypted")
		flags.IntVar(
			&f.atOnce,
			"at-once",
			4,
			"how many objects are read at a time, `N`; each takes up to 64 MiB of memory",
		)
	}
	bytesVar(flags, &f.rate, "rate", 0, "limit of `BYTES` per second, both ways; 0 for none")
	flags.BoolVar(&f.json, "json", false, "print the result as JSON")
}

// open opens the archive at a URL. The caller closes what is returned.
func (f *archiveFlags) open(ctx context.Context, url string) (a *archive.Archive, end func(), err error) {
	store, end, err := f.store(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	keys, err := archive.ReadKeys(nil, f.identity)
	if err == nil {
		a, err = archive.Open(ctx, store, keys)
	}
	if err != nil {
		end()
		return nil, nil, archiveError(err)
	}
	return a, end, nil
}

func (f *archiveFlags) store(ctx context.Context, url string) (*objectstore.Store, func(), error) {
	if f.rate < 0 || f.atOnce < 0 {
		return nil, nil, usage(errors.New("--rate and --at-once: give no negative numbers"))
	}
	address, err := node.ArchiveURL(url)
	if err != nil {
		return nil, nil, usage(err)
	}
	store, err := objectstore.Open(ctx, address, objectstore.Options{Rate: f.rate, AtOnce: max(f.atOnce, 1)})
	if err != nil {
		return nil, nil, cannotOpen(err)
	}
	return store, func() { _ = store.Close() }, nil
}

// archiveError gives an error of an archive its exit code.
func archiveError(err error) error {
	var (
		moment   *archive.NoMomentError
		notEmpty *archive.NotEmptyError
		refused  *archive.RefusedError
		other    *archive.OtherWriterError
		format   *archive.FormatError
		lost     *archive.LostError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &notEmpty):
		return usage(err)
	case errors.As(err, &moment), errors.Is(err, archive.ErrEmpty), errors.Is(err, archive.ErrNoIdentity):
		return cannotOpen(err)
	case errors.As(err, &refused), errors.As(err, &other):
		return coded(exitRefused, err)
	case errors.As(err, &format), errors.As(err, &lost):
		return coded(exitFound, err)
	case objectstore.IsTemporary(err):
		return coded(exitUnreachable, err)
	}
	return err
}

func (f *archiveFlags) print(out io.Writer, v any, text func(io.Writer) error) error {
	if !f.json {
		return text(out)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// A listedGeneration is what the command says of a generation.
type listedGeneration struct {
	Generation uint64 `json:"generation"`
	Why        string `json:"why"`
	Complete   bool   `json:"complete"`
	Epoch      uint64 `json:"epoch"`
	Node       string `json:"node"`
	Name       string `json:"name"`
	Begun      string `json:"begun"`
	Since      string `json:"since"`
	Last       string `json:"last_tid"`
	LastTime   string `json:"last_time"`
	Bytes      int64  `json:"bytes"`
	Segments   uint64 `json:"segments"`
	Shared     int64  `json:"shared_bytes"`
}

const archiveListHelp = `Lists the generations of an archive: each is one data file, from the first transaction to the
last that is archived. A pack begins another one, and so does a promotion. The last one that is complete is
where the present is restored from.`

func archiveListCommand() *cobra.Command {
	var opt archiveFlags
	cmd := &cobra.Command{
		Use:     "list URL [--json]",
		Short:   "show what can be restored from an archive",
		Long:    archiveListHelp,
		Example: "  zrsd archive list file:///backup/app",
		Args:    arguments("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, end, err := opt.open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer end()
			list, err := a.Generations(cmd.Context())
			if err != nil {
				return archiveError(err)
			}
			said := []listedGeneration{}
			for _, g := range list {
				said = append(said, listed(g))
			}
			return opt.print(
				cmd.OutOrStdout(),
				said,
				func(out io.Writer) error { return printGenerations(out, a, said) },
			)
		},
	}
	opt.register(cmd.Flags(), false)
	return cmd
}

const archiveTime = "2006-01-02 15:04:05Z"

func listed(g *archive.Generation) listedGeneration {
	l := listedGeneration{
		Generation: g.Generation, Why: g.Why, Complete: g.Complete, Epoch: g.Epoch().Number, Node: g.Node, Name: g.Name,
		Begun: g.At.UTC().Format(archiveTime), Since: g.Since.String(), Last: g.End.Last.String(), Bytes: g.End.End,
		Segments: g.Len(), Shared: g.Start.To,
	}
	if g.End.Last != 0 {
		l.LastTime = g.End.Last.Time().UTC().Format(archiveTime)
	}
	return l
}

func printGenerations(out io.Writer, a *archive.Archive, list []listedGeneration) error {
	if _, err := fmt.Fprintf(
		out,
		"archive of storage %s\n%-10s %-8s %-21s %-16s %-21s %15s %9s  %s\n",
		a.Identity.Storage,
		"generation",
		"why",
		"begun",
		"last tid",
		"last time",
		"bytes",
		"segments",
		"node",
	); err != nil {
		return err
	}
	for _, g := range list {
		state := ""
		if !g.Complete {
			state = " (not complete)"
		}
		if _, err := fmt.Fprintf(
			out,
			"%-10d %-8s %-21s %-16s %-21s %15d %9d  %s%s\n",
			g.Generation,
			g.Why,
			g.Begun,
			g.Last,
			g.LastTime,
			g.Bytes,
			g.Segments,
			g.Name,
			state,
		); err != nil {
			return err
		}
	}
	return nil
}

const archiveAllowHelp = `Notes in an archive that a node may go on with it although it lacks transactions that are
archived. A node that is refused names the whole command. Be sure that no other node leads: what the other ones
commit is not archived any more. The transactions that the node lacks stay in the earlier generation.`

func archiveAllowCommand() *cobra.Command {
	var opt archiveFlags
	var generation, epoch uint64
	var id string
	cmd := &cobra.Command{
		Use:   "allow URL --generation N --epoch N --node ID",
		Short: "let a node go on with an archive that was refused",
		Long:  archiveAllowHelp,
		Example: "  zrsd archive allow s3://backup/app --generation 3 --epoch 7 " +
			"--node 9d3a6c1e-52f0-4b8e-8a77-3f1c20de9b64",
		Args: arguments("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if generation == 0 || epoch == 0 || id == "" {
				return usage(errors.New("give --generation, --epoch and --node as the node names them"))
			}
			a, end, err := opt.open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer end()
			host := hostName()
			if err := a.Allow(cmd.Context(), generation, epoch, id, host); err != nil {
				return archiveError(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "node %s may go on after generation %d\n", id, generation)
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Uint64Var(&generation, "generation", 0, "newest generation of the archive, `N`")
	flags.Uint64Var(&epoch, "epoch", 0, "epoch of the node, `N`")
	flags.StringVar(&id, "node", "", "`ID` of the node")
	return cmd
}

// emptyFolder has the folder of a file that is made.
func emptyFolder(path string) error {
	return os.MkdirAll(filepath.Dir(path), 0o755)
}

func list(numbers []uint64) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(numbers)), ", "), "[]")
}

// hostName is the name of this machine, for people; empty: it has none.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
