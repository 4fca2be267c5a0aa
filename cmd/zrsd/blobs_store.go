package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/vfs"
)

const blobsPushHelp = `Puts the blobs of a Data.fs into an object store that the store lacks. Each is
verified there, and nothing there is overwritten. Run it before a primary gets --blobs-store, so that it
has little to catch up with. It only reads here, and may run beside a server. What was interrupted goes on
when it is run again: what the store has is not put again.

Exits with 0 when the store has all blobs, with 1 when one is missing, or is another one there, with 3 when a
file cannot be opened, with 4 when the store is away or does not permit it.`

const blobsPullHelp = `Fetches the blobs of a Data.fs from an object store that the blob directory lacks.
Each is verified, and nothing here is overwritten. The server must not run: a running node with a blob cache
fetches by itself.

Exits with 0 when all blobs are here, with 1 when one is missing, or is another one there, with 3 when a file
cannot be opened, with 4 when the store is away or does not permit it, with 6 when a server has the Data.fs.`

const blobsVerifyHelp = `Compares a blob directory and an object store with the records of the Data.fs: blobs
that are neither here nor there, that have another size there, and objects that no record needs. With
--read it reads all objects, and compares their content.

With --remove-unneeded, objects that no record has needed for so long are removed: it is noted beside the
Data.fs when each was first found, so run it regularly, after packs. The time has to be longer than other nodes
take to pack as well, and than backups of the Data.fs are kept.

Exits with 0 when each blob is here or there, with 1 when not, with 3 when a file cannot be opened, with 4
when the store is away or does not permit it.`

// A blobsSync is one of the commands that compare a blob directory with an object store.
type blobsSync struct {
	do    func(context.Context, blobcache.SyncOptions) (*blobcache.Summary, error)
	title string // of the progress
	locks bool   // it writes here

	blobs, store string
	dryRun, json bool
	read         bool
	remove       time.Duration
}

func blobsPushCommand() *cobra.Command {
	s := &blobsSync{do: blobcache.Push, title: "pushing"}
	return s.command("push", "put blobs into an object store", blobsPushHelp)
}

func blobsPullCommand() *cobra.Command {
	s := &blobsSync{do: blobcache.Pull, title: "pulling", locks: true}
	return s.command("pull", "fetch blobs from an object store", blobsPullHelp)
}

func blobsVerifyCommand() *cobra.Command {
	s := &blobsSync{do: blobcache.Verify, title: "verifying"}
	cmd := s.command("verify", "compare blobs with an object store", blobsVerifyHelp)
	cmd.Flags().BoolVar(&s.read, "read", false, "read the content of all objects")
	cmd.Flags().DurationVar(&s.remove, "remove-unneeded", 0,
		"remove objects that no record has needed for this `DURATION`, as 720h; 0: none")
	return cmd
}

func (s *blobsSync) command(name, short, help string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " Data.fs --blobs DIR --store URL [--dry-run] [--json]",
		Short: short,
		Long:  help,
		Example: "  zrsd blobs " + name + " var/Data.fs --blobs var/blobs --store " +
			"'s3://site-blobs/app?region=eu-central-1'\n" +
			"  zrsd blobs " + name + " var/Data.fs --blobs var/blobs --store file:///mnt/nas/app --dry-run",
		Args: arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return s.run(ctx, vfs.CleanPath(args[0]), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &s.blobs, "blobs", "blob `DIR` of the Data.fs")
	flags.StringVar(&s.store, "store", "", "`URL` of the object store: s3://, gs://, azblob:// or file://")
	flags.BoolVar(&s.dryRun, "dry-run", false, "say what would be done, and write nothing")
	flags.BoolVar(&s.json, "json", false, "print JSON, one object a line")
	return cmd
}

func (s *blobsSync) run(ctx context.Context, path string, out, terminal io.Writer) (err error) {
	if s.blobs == "" {
		return errNoBlobsFlag
	}
	if s.store == "" {
		return usage(errors.New("--store is missing: name the object store, as in s3://BUCKET/PREFIX?region=REGION"))
	}
	writes := s.locks && !s.dryRun
	if writes {
		lock, err := vfs.OS{}.Lock(path+".lock", "")
		switch {
		case errors.Is(err, vfs.ErrLocked):
			return coded(exitNotNow, fmt.Errorf("%w: stop the server that has it", err))
		case err != nil:
			return cannotOpen(fmt.Errorf("lock %s: %w", path, err))
		}
		defer lock.Close() //nolint:errcheck // it ends with the process
	}
	dir, err := blobstore.Open(s.blobs, blobstore.Options{ReadOnly: !writes})
	if err != nil {
		return asOpenError(err)
	}
	st, err := filestorage.Attach(ctx, path, filestorage.AttachOptions{})
	if err != nil {
		return asOpenError(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	it, err := st.Iterate(0, false)
	if err != nil {
		return asOpenError(err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	store, err := objectstore.Open(ctx, s.store, objectstore.Options{})
	if err != nil {
		return storeError(err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	dir.KeepParts(true)
	return s.sync(ctx, path, blobcache.SyncOptions{Objects: blobcache.Objects{Store: store}, Dir: dir, Records: it,
		DryRun: s.dryRun, Read: s.read}, out, terminal)
}

// storeError gives an error of opening an object store its exit code.
func storeError(err error) error {
	if errors.Is(err, objectstore.ErrURL) {
		return usage(err)
	}
	return coded(exitUnreachable, err)
}

func (s *blobsSync) sync(ctx context.Context, path string, opt blobcache.SyncOptions, out, terminal io.Writer) error {
	bar := newProgress(terminal, s.title)
	var unneeded []blobcache.Finding
	var failed error
	shown := 0
	opt.Progress = func(_, bytes int64) { bar.update(bytes, 0) }
	opt.Report = func(f blobcache.Finding) {
		if f.What == blobcache.Unneeded {
			unneeded = append(unneeded, f)
		}
		if shown++; s.json || shown <= maxShown {
			bar.clear()
			failed = errors.Join(failed, s.print(out, f))
		}
	}
	sum, err := s.do(ctx, opt)
	bar.clear()
	if err == nil && s.remove > 0 {
		err = s.removeUnneeded(ctx, path, opt, sum, unneeded, out)
	}
	var away *objectstore.Error
	if errors.As(err, &away) {
		err = coded(exitUnreachable, err)
	}
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if err := s.summary(out, sum, shown); err != nil {
		return err
	}
	if sum.Bad() {
		return errFound
	}
	return nil
}

func (s *blobsSync) removeUnneeded(ctx context.Context, path string, opt blobcache.SyncOptions, sum *blobcache.Summary,
	unneeded []blobcache.Finding, out io.Writer) error {
	removed, err := blobcache.RemoveUnneeded(ctx, blobcache.RemoveOptions{
		Objects: opt.Objects, FS: vfs.OS{}, Data: path, After: s.remove, DryRun: s.dryRun, Now: time.Now(),
	}, unneeded)
	for _, f := range removed {
		sum.Said[f.What]++
		err = errors.Join(err, s.print(out, f))
	}
	return err
}

func (s *blobsSync) print(w io.Writer, f blobcache.Finding) error {
	if s.json {
		return json.NewEncoder(w).Encode(map[string]blobcache.Finding{"finding": f})
	}
	line := strings.TrimSpace(fmt.Sprintf("%s: oid %v tid %v %s", s.done(f.What), f.Oid, f.Tid, f.Text))
	_, err := fmt.Fprintln(w, line)
	return err
}

// done says what was done with a blob, or would be.
func (s *blobsSync) done(what string) string {
	if s.dryRun && slices.Contains([]string{blobcache.Pushed, blobcache.Pulled, blobcache.Removed}, what) {
		return "would be " + what
	}
	return what
}

func (s *blobsSync) summary(w io.Writer, sum *blobcache.Summary, shown int) error {
	if s.json {
		return json.NewEncoder(w).Encode(map[string]*blobcache.Summary{"summary": sum})
	}
	if shown > maxShown {
		if _, err := fmt.Fprintf(w, "%d more: --json shows all\n", shown-maxShown); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s, %d as they should be", plural.Of(sum.Records, "blob"), sum.Same)
	for _, what := range slices.Sorted(maps.Keys(sum.Said)) {
		text += fmt.Sprintf(", %d %s", sum.Said[what], s.done(what))
	}
	if s.dryRun {
		text += "; nothing was written"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
