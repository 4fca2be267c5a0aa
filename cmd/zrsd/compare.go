package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/compare"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/vfs"
)

type compareOptions struct {
	json           bool
	blobsA, blobsB string
	peer           peerFlags
	tls            tlsFlags
	timeout        time.Duration
}

const compareHelp = `Compares two data files transaction by transaction: tids, status, metadata, records, data and,
where both blob directories are given, the content of blobs. Offsets and packing marks do not count.
Changes nothing, takes no lock; a file that is being written to is compared as it is at the beginning.

A and B may also be running nodes, by their admin or replication addresses. Then their histories
are compared by digests of all transactions, with some dozens of requests to each, up to the end of the
shorter one. Blobs are not compared.

Exits with 0 when the storages are equal, with 1 when they differ, with 3 when one cannot be opened, with
4 when a node does not answer.`

func compareCommand() *cobra.Command {
	opt := compareOptions{timeout: time.Minute}
	cmd := &cobra.Command{
		Use:     "compare A B [--blobs-a DIR --blobs-b DIR] [--json]",
		Short:   "find the first difference of two storages",
		Long:    compareHelp,
		Example: "  zrsd compare var/Data.fs copy/Data.fs --blobs-a var/blobs --blobs-b copy/blobs",
		Args:    arguments("A", "B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (opt.blobsA == "") != (opt.blobsB == "") {
				return usage(errors.New("blobs are compared with blobs: give both --blobs-a and --blobs-b, or none"))
			}
			if nodeA, nodeB := isOther(args[0], args[1]), isOther(args[1], args[0]); nodeA && nodeB {
				return opt.runNodes(cmd.Context(), args[0], args[1], cmd.OutOrStdout())
			} else if nodeA || nodeB {
				return usage(errors.New("a running node is compared with another one, and a file with a file; of a " +
					"file and a node, zrsd check Data.fs --against ADDR says how much is the same"))
			}
			return opt.run(cmd.Context(), vfs.CleanPath(args[0]), vfs.CleanPath(args[1]), cmd.OutOrStdout(),
				cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&opt.json, "json", false, "print the result as a JSON object, see docs/operations.md")
	pathVar(cmd.Flags(), &opt.blobsA, "blobs-a", "blob `DIR` of A")
	pathVar(cmd.Flags(), &opt.blobsB, "blobs-b", "blob `DIR` of B")
	cmd.Flags().DurationVar(&opt.timeout, "timeout", opt.timeout, "time limit for the answers of running nodes")
	opt.peer.register(cmd.Flags(), ", for running nodes")
	opt.tls.register(cmd.Flags(), "", "this side's")
	return cmd
}

func (opt compareOptions) run(ctx context.Context, pathA, pathB string, stdout, stderr io.Writer) (err error) {
	a, err := openForReading(ctx, pathA, opt.blobsA)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	b, err := openForReading(ctx, pathB, opt.blobsB)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	bar := newProgress(stderr, "comparing")
	what := compare.Options{Progress: func(pos int64) { bar.update(pos, a.Size()) }}
	if what.PartialA, err = isCache(opt.blobsA); err != nil {
		return err
	}
	if what.PartialB, err = isCache(opt.blobsB); err != nil {
		return err
	}
	res, err := compare.Run(ctx, a, b, what)
	bar.clear()
	if err != nil {
		return asOpenError(err)
	}
	if err := opt.print(stdout, &res); err != nil {
		return err
	}
	if !res.Equal {
		return errFound
	}
	return nil
}

// isCache reports whether a blob directory is, or was, a blob cache.
func isCache(dir string) (bool, error) {
	blobs, err := openBlobs(dir)
	if blobs == nil || err != nil {
		return false, err
	}
	is, err := blobs.Partial()
	return is, cannotOpen(err)
}

// openForReading opens a storage as it is now.
func openForReading(ctx context.Context, path, blobDir string) (*filestorage.Storage, error) {
	opt := filestorage.Options{ReadOnly: true, MustExist: true}
	blobs, err := openBlobs(blobDir)
	if err != nil {
		return nil, err
	}
	if blobs != nil {
		opt.Blobs = blobs
	}
	st, err := filestorage.Open(ctx, path, opt)
	return st, cannotOpen(err)
}

func (opt compareOptions) print(w io.Writer, res *compare.Result) error {
	if opt.json {
		return json.NewEncoder(w).Encode(res)
	}
	last := "none"
	if res.LastTid != nil {
		last = res.LastTid.String()
	}
	verdict := "equal"
	if !res.Equal {
		verdict = res.Difference.String() + "\nequal before that"
	}
	if res.NotHere > 0 {
		verdict += fmt.Sprintf(" (but for %s that a blob cache has evicted; zrsd blobs audit says where they "+
			"are)", plural.Of(res.NotHere, "blob"))
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s, %s, last tid %s\n", verdict, plural.Of(res.Transactions, "transaction"),
		plural.Of(res.Records, "record"), plural.Of(res.Blobs, "blob"), last)
	return err
}
