package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

const revertHelp = `Brings objects back to what they were at a moment, all in one new transaction that is committed as a
client of the server does it. With --subtree also all objects that they referred to then, and so on,
but for what they are in (__parent__).
ADDR is the address of the primary, admin or ZEO. Nothing is lost: the revert is undone like any other
transaction, with zrsd undo.

Try --dry-run first: it lists each object that would change. Objects that were created since are left
as they are. It is refused, unless forced, where an object was changed since and is not in the subtree
any more, since it may be used elsewhere, and where what an object was is not in the file any more. When
somebody commits a change of the subtree at the same moment, nothing is changed, and the objects are
named; where objects were only written as they were, it is tried again, five times at most.`

type revertOptions struct {
	storage, user, description string
	to, oids                   string
	subtree, dryRun, force     bool
	json                       bool
	timeout                    time.Duration
	tls                        tlsFlags
}

func revertCommand() *cobra.Command {
	opt := revertOptions{storage: zeoStorage, timeout: time.Minute}
	cmd := &cobra.Command{
		Use: "revert ADDR --to TID|TIME --oid OID[,OID] [--subtree] [--dry-run] [--force] [--storage NAME] " +
			"[--json]",
		Short: "bring objects back to what they were at a moment",
		Long:  revertHelp,
		Example: "  zrsd revert 127.0.0.1:5001 --to '2026-01-31 14:05' --oid 0x1f --subtree --dry-run\n" +
			"  zrsd revert 127.0.0.1:5001 --to 03f8658030000000 --oid 0x1f,0x20",
		Args: arguments("ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.to, "to", "", "the last transaction of the moment, a `TID`, or a time")
	flags.StringVar(&opt.oids, "oid", "", "`OID[,OID]` of the objects")
	flags.BoolVar(&opt.subtree, "subtree", false, "all objects that they referred to then as well, and so on")
	flags.BoolVar(&opt.dryRun, "dry-run", false, "say what would change, and change nothing")
	flags.BoolVar(&opt.force, "force", false, "also where there are conflicts")
	flags.StringVar(&opt.user, "user", "", "`TEXT` as the user of the new transaction")
	flags.StringVar(&opt.description, "description", "",
		"`TEXT` as its description; default: the moment and the objects")
	flags.StringVarP(&opt.storage, "storage", "S", opt.storage, "`NAME` of the storage")
	flags.DurationVar(&opt.timeout, "timeout", opt.timeout, "time limit for all requests")
	flags.BoolVar(&opt.json, "json", false, "print the result as JSON")
	opt.tls.register(flags, "", "this client's")
	return cmd
}

// A reverted is what the command says with --json.
type reverted struct {
	Done      bool              `json:"done"` // false: a dry run, or there was nothing to change
	Tid       *zodb.Tid         `json:"tid"`  // the new transaction
	To        zodb.Tid          `json:"to_tid"`
	Objects   []inside.Reverted `json:"objects"`
	Created   []inside.Reverted `json:"left"`
	Conflicts []inside.Reverted `json:"conflicts"`
}

func (opt *revertOptions) run(ctx context.Context, address string, out io.Writer) error {
	r, err := opt.revert()
	if err != nil {
		return usage(err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opt.timeout, fmt.Errorf("not done within %v", opt.timeout))
	defer cancel()
	conn, err := opt.tls.dialZEO(ctx, "revert", address, client.Options{Storage: opt.storage})
	if errors.Is(err, zodb.ErrReadOnly) {
		return coded(exitRefused, errors.New("revert: this server takes no commits: give the address of the primary"))
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	plan, err := r.Plan(ctx, zeoHistory{conn})
	if none := (*inside.NoObjectError)(nil); errors.As(err, &none) {
		return usage(err)
	}
	if err != nil {
		return fmt.Errorf("revert: %w", err)
	}
	said := &reverted{To: r.To, Objects: plan.Objects, Created: plan.Created, Conflicts: plan.Conflicts}
	refused := len(plan.Conflicts) > 0 && !opt.force
	if !opt.dryRun && !refused && len(plan.Objects) > 0 {
		tid, err := opt.commitPlanned(ctx, conn, r, &plan)
		if err != nil {
			return revertRefused(err)
		}
		said.Objects = plan.Objects
		said.Done, said.Tid = true, &tid
	}
	if opt.json {
		err = writeJSON(out, said)
	} else {
		_, err = io.WriteString(out, said.text())
	}
	if err == nil && refused && !opt.dryRun {
		return coded(exitRefused, fmt.Errorf("nothing was reverted: %s, see above; --force reverts all the same",
			plural.Of(len(plan.Conflicts), "conflict")))
	}
	return err
}

func (opt *revertOptions) revert() (r *inside.Revert, err error) {
	r = &inside.Revert{Subtree: opt.subtree}
	if opt.to == "" || opt.oids == "" {
		return nil, errors.New("say what is reverted: --to TID|TIME and --oid OID[,OID]")
	}
	if r.To, err = moment.ParseFixed(opt.to, time.Local, false); err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	for _, text := range strings.Split(opt.oids, ",") {
		oid, err := zodb.ParseOid(text)
		if err != nil {
			return nil, fmt.Errorf("--oid: %w", err)
		}
		r.Oids = append(r.Oids, oid)
	}
	return r, nil
}

// revertTries is how often a revert is tried where others commit without changing what is reverted.
const revertTries = 5

// commitPlanned commits a plan, and after a conflict a new one as long as that says the same.
func (opt *revertOptions) commitPlanned(ctx context.Context, conn *client.Conn, r *inside.Revert,
	plan **inside.RevertPlan) (tid zodb.Tid, err error) {
	for try := 1; ; try++ {
		tid, err := opt.commit(ctx, conn, r, *plan)
		var conflict *zodb.ConflictError
		if err == nil || try == revertTries || !errors.As(err, &conflict) ||
			conflict.Seen == 0 && conflict.Current != 0 {
			return tid, err
		}
		later, err := r.Plan(ctx, zeoHistory{conn})
		if err != nil {
			return 0, err
		}
		changed, err := (*plan).Changed(ctx, zeoHistory{conn}, later)
		if err != nil {
			return 0, err
		}
		if len(changed) > 0 {
			return 0, &changedError{changed}
		}
		*plan = later
	}
}

// A changedError names what somebody has changed since the plan.
type changedError struct{ objects []inside.Reverted }

func (e *changedError) Error() string {
	var list []string
	for _, o := range e.objects[:min(len(e.objects), maxRevertNamed)] {
		list = append(list, fmt.Sprintf("object %v (%s) in transaction %v", o.Oid, o.Class, o.Base))
	}
	if more := len(e.objects) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return "nothing was reverted: somebody has just changed " + strings.Join(list, ", ") + ": look again with --dry-run"
}

// maxRevertNamed is how many objects a changedError names.
const maxRevertNamed = 10

// commit writes the transaction. What is as it was is checked to stay so, and what changes must be as it was planned.
func (opt *revertOptions) commit(ctx context.Context, conn *client.Conn, r *inside.Revert, plan *inside.RevertPlan) (
	tid zodb.Tid, err error) {
	txn, err := conn.Begin(ctx, &zodb.TxnMeta{User: []byte(opt.user), Description: []byte(opt.words(r))})
	if err != nil {
		return 0, err
	}
	if err = fillRevert(ctx, conn, txn, r, plan); err == nil {
		var resolved []zodb.Oid
		resolved, err = txn.VoteOids(ctx)
		if err == nil && len(resolved) > 0 {
			err = &zodb.ConflictError{Oid: resolved[0]} // merged with what somebody has just committed
		}
	}
	if err != nil {
		return 0, errors.Join(err, txn.Abort(ctx))
	}
	return txn.Finish(ctx)
}

// fillRevert sends the records of then.
func fillRevert(ctx context.Context, conn *client.Conn, txn *client.Txn, r *inside.Revert,
	plan *inside.RevertPlan) error {
	for _, o := range plan.Same {
		if err := txn.Check(ctx, o.Oid, o.Base); err != nil {
			return err
		}
	}
	for _, o := range plan.Objects {
		rev, err := conn.LoadBefore(ctx, o.Oid, r.To+1)
		if err != nil {
			return fmt.Errorf("object %v as of %v: %w", o.Oid, r.To, err)
		}
		if o.Blob {
			err = storeBlobOfThen(ctx, conn, txn, o, rev.Data)
		} else {
			err = txn.Store(ctx, o.Oid, o.Base, slices.Clone(rev.Data))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// storeBlobOfThen brings a blob back with its record.
func storeBlobOfThen(ctx context.Context, conn *client.Conn, txn *client.Txn, o inside.Reverted,
	record []byte) (err error) {
	f, err := os.CreateTemp("", "zrsd-revert-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := conn.FetchBlob(ctx, o.Oid, o.Then, f); err != nil {
		return fmt.Errorf("the blob of object %v in transaction %v: %w", o.Oid, o.Then, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return txn.StoreBlob(ctx, o.Oid, o.Base, record, f)
}

// words are the description of the new transaction.
func (opt *revertOptions) words(r *inside.Revert) string {
	if opt.description != "" {
		return opt.description
	}
	what := "revert of "
	if r.Subtree {
		what = "revert of the subtree of "
	}
	return what + oidsText(r.Oids) + " to " + r.To.String()
}

// revertRefused gives its exit code to what keeps objects from being reverted.
func revertRefused(err error) error {
	var conflict *zodb.ConflictError
	var changed *changedError
	switch {
	case errors.As(err, &changed):
		return coded(exitRefused, err)
	case errors.Is(err, zodb.ErrReadOnly):
		return coded(exitRefused, errors.New("revert: this server takes no commits: give the address of the primary"))
	case errors.As(err, &conflict) && conflict.Seen == 0 && conflict.Current != 0:
		return coded(exitRefused, fmt.Errorf("nothing was reverted: object %v was deleted or made anew in transaction "+
			"%v: undo that one with zrsd undo first", conflict.Oid, conflict.Current))
	case errors.As(err, &conflict):
		return coded(exitRefused, fmt.Errorf("nothing was reverted: somebody has just changed object %v: look again "+
			"with --dry-run", conflict.Oid))
	}
	return fmt.Errorf("revert: %w", err)
}

// A zeoHistory is what a ZEO server has, as inside reads it.
type zeoHistory struct{ conn *client.Conn }

func (h zeoHistory) Load(ctx context.Context, oid zodb.Oid) ([]byte, zodb.Tid, error) {
	return h.LoadBefore(ctx, oid, 1<<63-1)
}

func (h zeoHistory) LoadBefore(ctx context.Context, oid zodb.Oid, before zodb.Tid) ([]byte, zodb.Tid, error) {
	rev, err := h.conn.LoadBefore(ctx, oid, before)
	if err != nil {
		return nil, 0, err
	}
	return rev.Data, rev.Tid, nil
}

// SameBlob is inside.History.
func (h zeoHistory) SameBlob(ctx context.Context, oid zodb.Oid, one, other zodb.Tid) (bool, error) {
	first, second := sha256.New(), sha256.New()
	if err := h.conn.FetchBlob(ctx, oid, one, first); err != nil {
		return false, err
	}
	err := h.conn.FetchBlob(ctx, oid, other, second)
	return bytes.Equal(first.Sum(nil), second.Sum(nil)), err
}

// maxRevertLines is how many objects of a kind the text lists; --json has all.
const maxRevertLines = 200

func (said *reverted) text() string {
	var text strings.Builder
	list := func(one, several string, objects []inside.Reverted) {
		if len(objects) == 0 {
			return
		}
		fmt.Fprintln(&text, plural.Or(len(objects), one, several))
		for _, o := range objects[:min(len(objects), maxRevertLines)] {
			fmt.Fprintf(&text, "    %v  %-40s %s  path %s\n", o.Oid, o.Class, o.Why, oidsText(o.Path))
		}
		if more := len(objects) - maxRevertLines; more > 0 {
			fmt.Fprintf(&text, "    and %d more\n", more)
		}
	}
	switch {
	case said.Done:
		fmt.Fprintf(&text, "reverted to %v in transaction %v\n", said.To, *said.Tid)
	case len(said.Objects) == 0:
		fmt.Fprintf(&text, "everything is as it was at %v: there is nothing to revert\n", said.To)
	default:
		fmt.Fprintf(&text, "to %v; nothing was changed\n", said.To)
	}
	list("object is brought back:", "objects are brought back:", said.Objects)
	list("object was created since, and is left as it is:", "objects were created since, and are left as they are:",
		said.Created)
	list("conflict:", "conflicts:", said.Conflicts)
	return text.String()
}
