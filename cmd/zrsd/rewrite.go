package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zeo/client"
)

const rewriteHelp = `Gives classes other names, in records and in the references to their objects. Each line of FILE
is a rule:

  old.module Old = new.module New    a class has another name; files of zodbupdate -s are read, too
  0x1f = new.module New              this object, and all references to it, have that class
  * = record                         references have the class that the records of their objects say

Only the names are replaced in the pickles, all else stays byte for byte. Transactions have --records
objects at most. Without --through, no other process may have the file open for writing. With it,
changes are committed as a client of the ZEO server there, which must serve the same file, so that
secondaries and the caches of clients hear of them; what others change meanwhile is tried again. A
command that was stopped is started again, and finds what is left. Strings of Python 2 are not
converted (--convert-py3 of zodbupdate).`

type rewriteOptions struct {
	rules, through, storage string
	user, description       string
	records                 int
	dryRun, json            bool
	tls                     tlsFlags
}

func rewriteCommand() *cobra.Command {
	opt := rewriteOptions{storage: zeoStorage, records: 1000}
	cmd := &cobra.Command{
		Use:   "rewrite Data.fs --rules FILE [--through ADDR] [--dry-run] [--json]",
		Short: "give classes other names, in records and references",
		Long:  rewriteHelp,
		Example: "  zrsd classes rewrite var/Data.fs --rules renames.py --dry-run\n" +
			"  zrsd classes rewrite var/Data.fs --rules renames.py --through 127.0.0.1:8100",
		Args: arguments("Data.fs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd, vfs.CleanPath(args[0]))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	pathVar(flags, &opt.rules, "rules", "read rules from `FILE`")
	flags.BoolVar(&opt.dryRun, "dry-run", false, "say what would change, and change nothing")
	flags.StringVar(&opt.through, "through", "", "commit through the ZEO server at `ADDR`, or the admin address of "+
		"its node")
	flags.StringVarP(&opt.storage, "storage", "S", opt.storage, "`NAME` of the storage there")
	flags.IntVar(&opt.records, "records", opt.records, "change at most `N` objects in a transaction")
	flags.StringVar(&opt.user, "user", "", "`TEXT` as the user of the transactions")
	flags.StringVar(&opt.description, "description", "zrsd classes rewrite", "`TEXT` as their description")
	flags.BoolVar(&opt.json, "json", false, "print the result as JSON")
	opt.tls.register(flags, "", "this client's")
	return cmd
}

func (opt *rewriteOptions) run(cmd *cobra.Command, path string) (err error) {
	rules, err := opt.readRules()
	if err != nil {
		return err
	}
	if opt.records < 1 {
		return usage(fmt.Errorf("--records %d: give a number from 1", opt.records))
	}
	ctx := cmd.Context()
	store, done, err := opt.open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	bar := newProgress(cmd.ErrOrStderr(), "reading")
	r := &inside.Rewrite{
		Rules: rules, User: opt.user, Description: opt.description, Records: opt.records,
		Options: inside.Options{Progress: bar.update},
	}
	result, err := opt.rewrite(ctx, r, path, store)
	bar.clear()
	if result != nil {
		err = errors.Join(opt.print(cmd.OutOrStdout(), result), err)
	}
	if err == nil && len(result.Failed) > 0 {
		return errFound
	}
	return err
}

func (opt *rewriteOptions) readRules() (*inside.Rules, error) {
	if opt.rules == "" {
		return nil, usage(errors.New("--rules is missing: name a file with lines such as: " +
			"old.module Old = new.module New"))
	}
	f, err := os.Open(opt.rules)
	if err != nil {
		return nil, cannotOpen(fmt.Errorf("--rules: %w", err))
	}
	rules, err := inside.ReadRules(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, usage(fmt.Errorf("--rules %s: %w", opt.rules, err))
	}
	if rules.Empty() {
		return nil, usage(fmt.Errorf("--rules %s: there is no rule in it", opt.rules))
	}
	return rules, nil
}

// open opens what is committed to; nil for a dry run.
func (opt *rewriteOptions) open(ctx context.Context, path string) (store inside.Store, done func() error, err error) {
	switch {
	case opt.dryRun:
		return nil, func() error { return nil }, nil
	case opt.through != "":
		conn, err := opt.tls.dialZEO(ctx, "--through", opt.through, client.Options{Storage: opt.storage})
		if err != nil {
			return nil, nil, err
		}
		return inside.ServerStore{Conn: conn}, func() error { conn.Close(); return nil }, nil
	}
	st, err := filestorage.Open(ctx, path, filestorage.Options{MustExist: true})
	if err != nil {
		return nil, nil, cannotOpen(err)
	}
	return inside.FileStore{St: st}, st.Close, nil
}

// rewrite plans by the file as it is, and applies that, again where others have brought old classes back meanwhile.
func (opt *rewriteOptions) rewrite(ctx context.Context, r *inside.Rewrite, path string, store inside.Store) (
	all *inside.Rewritten, err error) {
	const rounds = 3
	for range rounds {
		result, err := opt.round(ctx, r, path, store)
		if result == nil {
			return all, err
		}
		if all == nil {
			all = result
		} else {
			all.Add(result)
		}
		if err != nil || opt.dryRun || opt.through == "" || result.Objects == 0 {
			return all, err
		}
	}
	return all, nil
}

func (opt *rewriteOptions) round(ctx context.Context, r *inside.Rewrite, path string, store inside.Store) (
	result *inside.Rewritten, err error) {
	st, err := filestorage.Open(ctx, path, filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		return nil, cannotOpen(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	plan, err := r.Plan(ctx, st)
	if err != nil {
		return nil, err
	}
	if opt.dryRun {
		return plan.Result(), nil
	}
	return plan.Apply(ctx, store)
}

func (opt *rewriteOptions) print(out io.Writer, r *inside.Rewritten) error {
	if opt.json {
		return writeJSON(out, r)
	}
	var t insideText
	for _, c := range r.Changes {
		t.line("%s = %s: %s, %s, %s in states", c.From, c.To, plural.Of(c.Objects, "object"),
			plural.Of(c.References, "reference"), plural.Of(c.Values, "value"))
	}
	for _, f := range r.Failed {
		t.line("LEFT AS IT IS: object %v: %s", f.Oid, f.Why)
	}
	switch n := len(r.Transactions); {
	case opt.dryRun:
		t.line("%s would be rewritten; nothing was changed", plural.Of(r.Objects, "object"))
	case n == 0:
		t.line("there is nothing to rewrite")
	default:
		t.line("%s rewritten in %s, %v to %v; %s tried again",
			plural.Or(r.Objects, "object was", "objects were"), plural.Of(n, "transaction"),
			r.Transactions[0], r.Transactions[n-1], plural.Or(r.Conflicts, "conflict was", "conflicts were"))
	}
	_, err := out.Write(t.text)
	return err
}
