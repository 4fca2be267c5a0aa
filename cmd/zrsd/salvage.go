package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/salvage"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

const salvageHelp = `Lists the transactions that a rewind has set aside in FRAGMENT, Data.fs.rewound-TID.fs: who wrote
them, when, and of which classes the objects are that they changed; --json has every object.

With --against it asks the primary's ZEO server, as a client that only reads, which of them could be
committed again: those whose objects nobody has changed since. With --apply it commits these, one
after the other, through the primary; a transaction that is there already is not committed twice.
--export copies transactions into a storage of their own. --transactions names some of them. --paths
shows where objects are: it needs a node, or a data file, that has what the fragment came from. What only
the fragment has is shown where its records put it.`

type salvageOptions struct {
	transactions         []string
	export, against, zeo string
	apply, json          bool
	timeout              time.Duration
	paths                pathFinder
	tls                  tlsFlags
}

func salvageCommand() *cobra.Command {
	opt := salvageOptions{zeo: zeoStorage, timeout: time.Minute}
	cmd := &cobra.Command{
		Use: "salvage FRAGMENT [--transactions TID,…] [--export FILE] [--against ADDR [--apply]] " +
			"[--paths ADDR|Data.fs] [--json]",
		Short: "list, export or recommit transactions that a rewind set aside",
		Long:  salvageHelp,
		Example: "  zrsd salvage Data.fs.rewound-040d353c7d3a5050.fs\n" +
			"  zrsd salvage Data.fs.rewound-040d353c7d3a5050.fs --against 127.0.0.1:8100 --apply",
		Args: arguments("FRAGMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.paths.bar = newProgress(cmd.ErrOrStderr(), "reading")
			return opt.run(cmd.Context(), vfs.CleanPath(args[0]), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&opt.transactions, "transactions", nil, "`TID[,TID]` of the transactions to use; default: "+
		"all")
	pathVar(flags, &opt.export, "export", "copy them into a new storage, `FILE`, with blobs in FILE.blobs")
	flags.StringVar(&opt.against, "against", "", "`ADDR` of the primary, admin or ZEO: say which could be "+
		"committed again")
	flags.BoolVar(&opt.apply, "apply", false, "commit those, through that server")
	opt.paths.register(flags)
	flags.StringVarP(&opt.zeo, "storage", "S", opt.zeo, "`NAME` of the storage there")
	flags.DurationVar(&opt.timeout, "timeout", opt.timeout, "time limit for all requests to the ZEO server")
	flags.BoolVar(&opt.json, "json", false, "print the list, or the results, as JSON")
	opt.tls.register(flags, "", "this client's")
	return cmd
}

const fragmentSuffix = ".fs"

func (opt *salvageOptions) run(ctx context.Context, name string, out io.Writer) (err error) {
	base, is := strings.CutSuffix(name, fragmentSuffix)
	switch {
	case !is:
		return usage(fmt.Errorf("%s is no fragment: name a file such as Data.fs.rewound-040d353c7d3a5050.fs", name))
	case opt.apply && opt.against == "":
		return usage(errors.New("--apply needs the primary's ZEO server: give --against ADDR"))
	case opt.export != "" && opt.against != "":
		return usage(errors.New("--export and --against: leave out one of them"))
	}
	var tids []zodb.Tid
	for _, text := range opt.transactions {
		tid, err := zodb.ParseTid(text)
		if err != nil {
			return usage(fmt.Errorf("--transactions: %w", err))
		}
		tids = append(tids, tid)
	}
	opt.paths.storage, opt.paths.tls = opt.zeo, &opt.tls
	if err := opt.paths.check(ctx); err != nil {
		return err
	}
	f, err := salvage.Open(ctx, rewind.Fragment{Data: name, Blobs: base + ".blobs", Manifest: base + ".json"}, tids...)
	if errors.Is(err, fs.ErrNotExist) {
		return cannotOpen(noFragment(name, err))
	}
	if err != nil {
		return cannotOpen(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	switch {
	case opt.export != "":
		if err := f.Export(ctx, opt.export); err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s in %s\n",
			plural.Or(len(f.Transactions()), "transaction is", "transactions are"), opt.export)
		return err
	case opt.against != "":
		return opt.judge(ctx, f, out)
	}
	list, err := opt.list(ctx, f)
	if err != nil {
		return err
	}
	if opt.json {
		return writeJSON(out, list)
	}
	return writeFragment(out, list, nil)
}

// noFragment says of a file without a list beside it what it is, and where fragments are.
func noFragment(name string, err error) error {
	if _, there := os.Stat(name); there != nil {
		return there
	}
	found, _ := filepath.Glob(name + ".rewound-*" + fragmentSuffix) // none where the pattern is bad
	switch {
	case strings.Contains(filepath.Base(name), ".rewound-"):
		return fmt.Errorf("%s belongs to two files that a rewind has written, and one is missing: bring both from "+
			"where they were: %w", name, err)
	case len(found) > 0:
		return fmt.Errorf("%s is a data file, and not what a rewind has set aside of it; name one of these: %s", name,
			strings.Join(found, ", "))
	}
	return fmt.Errorf("%s is not what a rewind has set aside, and nothing of that is beside it: it would be in "+
		"files named %s.rewound-TID.fs, on the node that was rewound (zrsd status lists them); for transactions of a "+
		"data file there are zrsd dump and zrsd diff", name, filepath.Base(name))
}

// list returns the transactions, with the paths of their objects where they were asked for.
func (opt *salvageOptions) list(ctx context.Context, f *salvage.Fragment) ([]rewind.Transaction, error) {
	list := f.Transactions()
	opt.paths.more = f.Places
	var objects [][]rewind.Object
	for i := range list {
		objects = append(objects, list[i].Objects)
	}
	return list, opt.paths.add(ctx, objects...)
}

// judge asks the primary, and commits again where that is wanted.
func (opt *salvageOptions) judge(ctx context.Context, f *salvage.Fragment, out io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, opt.timeout, fmt.Errorf("not done within %v", opt.timeout))
	defer cancel()
	conn, err := opt.tls.dialZEO(ctx, "--against", opt.against, client.Options{Storage: opt.zeo, ReadOnly: !opt.apply})
	if err != nil {
		return err
	}
	defer conn.Close()
	do := f.Judge
	if opt.apply {
		do = f.Apply
	}
	list, err := do(ctx, conn)
	if opt.json {
		return errors.Join(writeJSON(out, list), err)
	}
	transactions, failed := opt.list(ctx, f)
	return errors.Join(writeFragment(out, transactions, list), err, failed)
}

func writeJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}
