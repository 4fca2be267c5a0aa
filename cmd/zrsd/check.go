package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

type checkOptions struct {
	json, quick bool
	blobs       string
	against     string
	peer        peerFlags
	tls         tlsFlags
}

const checkHelp = `Reads the whole file and checks structure, lengths, back pointers, the saved index against the file,
and blobs that are missing or orphaned. Changes nothing, takes no lock, and can be run beside a
server, up to the end of what is committed.

With --against it also says how much of the file is the same as on a running node, at the address where
its secondaries connect, or as in the Data.fs of a folder: which backup is right, and up to where.

Exits with 0 when there is no damage (there may be warnings) and all that the file has is the same, with
1 when not, with 3 when a file cannot be opened, with 4 when the node does not answer.`

func checkCommand() *cobra.Command {
	var opt checkOptions
	cmd := &cobra.Command{
		Use:     "check Data.fs [--blobs DIR] [--against ADDR|DIR] [--json] [--quick]",
		Short:   "look for damage in a data file, its index and its blobs",
		Long:    checkHelp,
		Example: "  zrsd check var/Data.fs --blobs var/blobs",
		Args:    arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), vfs.CleanPath(args[0]), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&opt.json, "json", false, "print one JSON object per line, see docs/operations.md")
	cmd.Flags().BoolVar(&opt.quick, "quick", false, "check the structure only, do not read the data of records")
	pathVar(cmd.Flags(), &opt.blobs, "blobs", "blob `DIR` to check too")
	cmd.Flags().StringVar(&opt.against, "against", "", "`ADDR|DIR` of another copy: a node, or a folder or a Data.fs")
	opt.peer.register(cmd.Flags(), ", for --against")
	opt.tls.register(cmd.Flags(), "", "this side's")
	return cmd
}

func (opt *checkOptions) run(ctx context.Context, path string, stdout, stderr io.Writer) error {
	blobs, err := openBlobs(opt.blobs)
	if err != nil {
		return err
	}
	bar := newProgress(stderr, "checking")
	var printed error
	what := check.Options{FS: vfs.OS{}, Path: path, Quick: opt.quick, Progress: bar.update, Seen: seen(path, stderr),
		Report: func(f check.Finding) {
			bar.clear()
			printed = errors.Join(printed, opt.finding(stdout, f))
		}}
	if blobs != nil {
		what.Blobs, what.BlobPath, what.LaterBlobs = blobFiles(blobs), blobs.BlobPath, true
		if what.Partial, err = blobs.Partial(); err != nil {
			return cannotOpen(err)
		}
	}
	sum, err := check.Run(ctx, what)
	bar.clear()
	if err != nil {
		return asOpenError(err)
	}
	if err := errors.Join(printed, opt.summary(stdout, &sum)); err != nil {
		return err
	}
	against := opt.compare(ctx, path, stdout, stderr)
	if sum.Damages > 0 && (against == nil || exitCode(against) == exitFound) {
		return errFound
	}
	return against
}

// seen returns the last transaction that the state file of a Data.fs has seen; 0: there is none.
func seen(path string, stderr io.Writer) zodb.Tid {
	st, err := state.Load(vfs.OS{}, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "warning: not compared with the state file: %v\n", err) // there is no other place
		return 0
	}
	return st.Chain.Last().Tid
}

func (opt *checkOptions) finding(w io.Writer, f check.Finding) error {
	if opt.json {
		return json.NewEncoder(w).Encode(map[string]check.Finding{"finding": f})
	}
	_, err := fmt.Fprintln(w, f)
	return err
}

func (opt *checkOptions) summary(w io.Writer, s *check.Summary) error {
	if opt.json {
		return json.NewEncoder(w).Encode(map[string]*check.Summary{"summary": s})
	}
	verdict := "no damage"
	if s.Damages > 0 {
		verdict = "DAMAGED in " + plural.Of(s.Damages, "place")
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s: %s, %s, %s, %d bytes, index %s%s\n", s.Path, verdict,
		plural.Of(s.Warnings, "warning"), plural.Of(s.Transactions, "transaction"), plural.Of(s.Records, "record"),
		plural.Of(s.Objects, "object"), s.Checked, s.Index, notes(s))
	return err
}

func notes(s *check.Summary) (text string) {
	switch {
	case s.BlobFiles != nil:
		text += ", " + plural.Of(s.BlobRecords, "blob") + " in " + plural.Of(*s.BlobFiles, "file")
	case s.BlobRecords > 0:
		text += fmt.Sprintf(", %s not checked (give --blobs)", plural.Of(s.BlobRecords, "blob"))
	}
	if s.BlobsEvicted > 0 {
		text += fmt.Sprintf(", %s evicted from the blob cache (zrsd blobs audit asks who has them)",
			plural.Or(s.BlobsEvicted, "blob was", "blobs were"))
	}
	if s.TidsDown > 0 {
		text += ", tids go down in " + plural.Of(s.TidsDown, "place")
	}
	if s.TidsFuture > 0 {
		text += fmt.Sprintf(", %s in the future", plural.Or(s.TidsFuture, "tid is", "tids are"))
	}
	if s.Uncommitted > 0 {
		text += fmt.Sprintf(", %d bytes after them are not committed", s.Uncommitted)
	}
	return text
}

// openBlobs opens a blob directory for looking at it only; nil for an empty path.
func openBlobs(dir string) (*blobstore.Store, error) {
	if dir == "" {
		return nil, nil //nolint:nilnil // no directory was asked for
	}
	blobs, err := blobstore.Open(dir, blobstore.Options{ReadOnly: true})
	return blobs, cannotOpen(err)
}

// blobFiles yields the files of a blob directory as a check wants them.
func blobFiles(blobs *blobstore.Store) iter.Seq2[check.BlobFile, error] {
	return func(yield func(check.BlobFile, error) bool) {
		tell := func(f check.BlobFile) error {
			if !yield(f, nil) {
				return errEnough
			}
			return nil
		}
		err := blobs.WalkPast(func(oid zodb.Oid, tid zodb.Tid, _ int64, path string) error {
			return tell(check.BlobFile{Oid: oid, Tid: tid, Path: path})
		}, func(dir string, err error) error {
			return tell(check.BlobFile{Path: dir, Unreadable: err})
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(check.BlobFile{}, err)
		}
	}
}

// errEnough ends a walk whose caller has seen enough.
var errEnough = errors.New("enough")
