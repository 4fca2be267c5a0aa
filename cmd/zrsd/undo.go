package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

const undoHelp = `Undoes transactions, all in one new transaction that is committed as a client of the server does it:
their objects become again what they were before. zrsd undo-log lists what can be undone. ADDR is the
address of the primary, admin or ZEO. It fails as a whole, and changes nothing, where later transactions
have changed the same objects: undo these as well, in the same call.

--dry-run asks the server what would change, and commits nothing. --paths shows also where the objects
are, as the root leads to them afterwards.`

type undoOptions struct {
	storage, user, description string
	dryRun, json               bool
	timeout                    time.Duration
	paths                      pathFinder
	tls                        tlsFlags
}

func undoCommand() *cobra.Command {
	opt := undoOptions{storage: zeoStorage, timeout: time.Minute}
	cmd := &cobra.Command{
		Use:   "undo ADDR TID… [--dry-run] [--paths ADDR|Data.fs] [--storage NAME] [--json]",
		Short: "undo transactions",
		Long:  undoHelp,
		Example: "  zrsd undo 127.0.0.1:5001 03f8658030000000 --dry-run\n" +
			"  zrsd undo 127.0.0.1:5001 03f8658030000000 --paths 127.0.0.1:5001",
		Args: func(cmd *cobra.Command, args []string) error {
			return arguments("ADDR", "TID")(cmd, args[:min(len(args), 2)])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.paths.bar = newProgress(cmd.ErrOrStderr(), "reading")
			return opt.run(cmd.Context(), args[0], args[1:], cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&opt.dryRun, "dry-run", false, "say what would change, and change nothing")
	opt.paths.register(flags)
	flags.StringVar(&opt.user, "user", "", "`TEXT` as the user of the new transaction")
	flags.StringVar(&opt.description, "description", "", "`TEXT` as its description; default: which are undone")
	flags.StringVarP(&opt.storage, "storage", "S", opt.storage, "`NAME` of the storage")
	flags.DurationVar(&opt.timeout, "timeout", opt.timeout, "time limit for all requests")
	flags.BoolVar(&opt.json, "json", false, "print the result as JSON")
	opt.tls.register(flags, "", "this client's")
	return cmd
}

// An undone is what the command says with --json.
type undone struct {
	Done    bool            `json:"done"` // false: a dry run
	Tid     *zodb.Tid       `json:"tid"`  // the new transaction
	Undone  []zodb.Tid      `json:"undone_tids"`
	Objects []rewind.Object `json:"objects"` // that change, with the revision that is replaced
}

func (opt *undoOptions) run(ctx context.Context, address string, tids []string, out io.Writer) error {
	said := &undone{}
	for _, text := range tids {
		tid, err := zodb.ParseTid(text)
		if err != nil {
			return usage(err)
		}
		said.Undone = append(said.Undone, tid)
	}
	slices.Sort(said.Undone)
	said.Undone = slices.Compact(said.Undone)
	slices.Reverse(said.Undone) // the newest first: each is undone on top of what the one before it has left
	opt.paths.storage, opt.paths.tls = opt.storage, &opt.tls
	if err := opt.paths.check(ctx); err != nil {
		return err
	}
	if err := opt.ask(ctx, address, said); err != nil {
		return err
	}
	err := opt.paths.add(ctx, said.Objects) // what was done is said in any case
	if opt.json {
		return errors.Join(writeJSON(out, said), err)
	}
	_, failed := io.WriteString(out, said.text())
	return errors.Join(failed, err)
}

// ask has the server undo, or say what that would change.
func (opt *undoOptions) ask(ctx context.Context, address string, said *undone) error {
	ctx, cancel := context.WithTimeoutCause(ctx, opt.timeout, fmt.Errorf("not done within %v", opt.timeout))
	defer cancel()
	conn, err := opt.tls.dialZEO(ctx, "undo", address, client.Options{Storage: opt.storage})
	if err != nil {
		return err
	}
	defer conn.Close()
	return undoRefused(opt.undo(ctx, conn, said))
}

// undo undoes, or says what that would change.
func (opt *undoOptions) undo(ctx context.Context, conn *client.Conn, said *undone) error {
	txn, err := conn.Begin(ctx, &zodb.TxnMeta{User: []byte(opt.user), Description: []byte(opt.words(said.Undone))})
	if err != nil {
		return err
	}
	oids, err := voteUndo(ctx, txn, said.Undone)
	if err != nil {
		return errors.Join(err, txn.Abort(ctx))
	}
	if opt.dryRun {
		err = txn.Abort(ctx)
	} else {
		said.Tid = new(zodb.Tid)
		*said.Tid, err = txn.Finish(ctx)
		said.Done = err == nil
	}
	if err != nil {
		return err
	}
	for _, oid := range oids {
		o, err := objectNow(ctx, conn, oid)
		if err != nil && said.Done {
			return fmt.Errorf("it was undone in transaction %v, but the objects cannot be listed: %w", *said.Tid, err)
		}
		if err != nil {
			return err
		}
		said.Objects = append(said.Objects, o)
	}
	return nil
}

// words are the description of the new transaction.
func (opt *undoOptions) words(tids []zodb.Tid) string {
	if opt.description != "" {
		return opt.description
	}
	return "undo of " + tidsText(tids)
}

// voteUndo asks for the undoing of transactions, and returns the objects that change.
func voteUndo(ctx context.Context, txn *client.Txn, tids []zodb.Tid) ([]zodb.Oid, error) {
	for _, tid := range tids {
		if err := txn.Undo(ctx, tid); err != nil {
			return nil, err
		}
	}
	oids, err := txn.VoteOids(ctx)
	slices.Sort(oids)
	return slices.Compact(oids), err
}

// objectNow describes an object as it is: an undone creation has neither class nor size.
func objectNow(ctx context.Context, conn *client.Conn, oid zodb.Oid) (rewind.Object, error) {
	rev, err := conn.Load(ctx, oid)
	var none *zodb.POSKeyError
	if errors.As(err, &none) {
		return rewind.Object{Oid: oid, Size: -1}, nil
	}
	if err != nil {
		return rewind.Object{}, err
	}
	return rewind.Object{Oid: oid, Class: rev.Class(), Size: int64(len(rev.Data)), Base: rev.Tid}, nil
}

// undoRefused gives its exit code to what keeps transactions from being undone.
func undoRefused(err error) error {
	var one *zodb.UndoError
	var many *zodb.MultipleUndoError
	switch {
	case errors.Is(err, zodb.ErrReadOnly):
		return coded(exitRefused, errors.New("undo: this server takes no commits: give the address of the primary"))
	case errors.As(err, &many):
		var oids []zodb.Oid
		for _, f := range many.Failures {
			oids = append(oids, f.Oid)
		}
		return coded(exitRefused, fmt.Errorf("nothing was undone: later transactions have changed %d of the objects "+
			"(oid %s): undo these transactions as well, in the same call", len(oids), oidsText(oids)))
	case errors.As(err, &one):
		return coded(exitRefused, fmt.Errorf("nothing was undone: %s: zrsd undo-log lists what can be undone",
			one.Reason))
	}
	return err
}

func (said *undone) text() string {
	var text strings.Builder
	if said.Done {
		fmt.Fprintf(&text, "undid %s in transaction %v: %s changed\n", tidsText(said.Undone), *said.Tid,
			plural.Of(len(said.Objects), "object"))
	} else {
		fmt.Fprintf(&text, "would undo %s: %s would change; nothing was changed\n", tidsText(said.Undone),
			plural.Of(len(said.Objects), "object"))
	}
	writeGroups(&text, said.Objects)
	return text.String()
}

func tidsText(tids []zodb.Tid) string {
	var parts []string
	for _, tid := range tids[:min(len(tids), maxOids)] {
		parts = append(parts, tid.String())
	}
	if len(tids) > maxOids {
		parts = append(parts, fmt.Sprintf("and %d more", len(tids)-maxOids))
	}
	return strings.Join(parts, ", ")
}
